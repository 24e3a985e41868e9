"""Short stories in English and Spanish, drawn from a small grammar.

A cast is drawn first (hero, friend, place, thing, ...) and gives the slots of
both languages. A plot is a list of beats, and each beat a template with
alternatives, so that names, pronouns, genders and things stay the same from
the first sentence to the last while the wording changes.
"""

from dataclasses import dataclass
from random import Random

import words
from grammar import a, agree, contract, expand, one, the

HEROES = words.ANIMALS * 2 + words.PEOPLE

# The keys name the topic of a plot, so a story can be requested about an object,
# a place or anything else.
PLOTS = {
    "object": {
        "en": [
            "[{Name} had {a_look_thing}|{Name}'s favourite thing was {a_look_thing}|{Name} loved {pos} {look} {thing}]. [{She} took it everywhere|{She} played with it every day|Nothing was more important to {her}].",
            "[One day|One morning|One {weather} afternoon], the {thing} [was gone|was not there|disappeared]. {Name} looked [under the bed|behind the door|in every corner] and [by the {place}|near the {place}], but {she} could not find it. {Name} was [very sad|so sad that {she} cried|sad and worried].",
            "[Then|Soon|After a while] {friend} the {friend_kind} came by. \"[What is wrong|Why are you sad|What happened], {name}?\" asked {friend}. \"I lost my {thing},\" said {name}. \"[Do not worry|Don't cry], [I will help you|we will find it together]!\"",
            "[They looked and looked|They walked slowly and looked everywhere|The two friends searched all day]. [At last|Finally], {friend} [saw something {look} near a tree|found the {thing} behind a big stone|saw the {thing} near the {place}]. \"Here it is!\" {friend} said.",
            "{Name} [was very happy|jumped with joy|smiled again] and [thanked {pos} friend|gave {friend} a big hug]. [From that day on, they played together|Since then, {name} and {friend} have shared the {thing}|{Name} learned that a good friend is the best treasure].",
        ],
        "es": [
            "[{Name} tenía {un_thing_look}|Lo que más quería {name} era {su_thing_look}|{Name} cuidaba mucho {su_thing_look}]. [Siempre {lo_thing} llevaba consigo|Jugaba con {pron_thing} todos los días|Nada era más importante para {pron}].",
            "[Un día|Una mañana|Una tarde {weather_de}], {the_thing} [desapareció|ya no estaba|no estaba en su sitio]. {Name} {lo_thing} buscó [debajo de la cama|detrás de la puerta|por todas partes] y [en {the_place}|cerca de {the_place}], pero no {lo_thing} encontró. {Name} [se puso muy triste|estaba muy triste|se sentó a llorar].",
            "[Entonces|Poco después|Al rato] llegó {friend}, {un_friend}. —¿[Qué te pasa|Por qué estás triste|Qué ha pasado], {name}? —preguntó {friend}. —He perdido mi {thing} —dijo {name}. —¡[No te preocupes|No llores]! [Yo te ayudo|Vamos a buscar junt{os}].",
            "[Buscaron y buscaron|Caminaron despacio y miraron por todas partes|{Los} dos buscaron todo el día]. [Por fin|Al final], {friend} [vio algo {look} junto a un árbol|encontró {the_thing} detrás de una piedra|vio {the_thing} en {the_place}]. —¡Aquí está! —dijo {friend}.",
            "{Name} [se puso muy {content}|saltó de alegría|volvió a sonreír] y [le dio las gracias|le dio un gran abrazo]. [Desde ese día jugaron siempre junt{os}|Desde entonces comparten {the_thing}|{Name} aprendió que un buen amigo es el mejor tesoro].",
        ],
    },
    "place": {
        "en": [
            "{Name} [had always wanted to see|dreamed of seeing|had never seen] the {place}. [One {weather} morning|One day|Early one morning], {she} [packed some food|put {pos} {look} {thing} in a bag|took {pos} {thing}] and started to walk.",
            "[The road was long|It was a long way|The way was not easy], [and {name} got tired|but {name} did not stop|and the wind was strong]. [On the way|Half way there|Near a big tree] {she} met {friend} the {friend_kind}. \"[Where are you going|Where do you want to go]?\" asked {friend}. \"To the {place}!\" said {name}. \"[Come with me|Let us go together]!\"",
            "[They walked and sang|They talked all the way|Together they walked faster]. When they [arrived|got there|came to the {place}], [everything was beautiful|the sun was shining|it was even better than in a dream]. {Name} [laughed with joy|could not believe it|ran and jumped].",
            "They [played until the evening|ate under the sky|rested and looked at the clouds]. [At night|Later], {name} [went home with a happy heart|fell asleep and dreamed of the {place}|told everyone about the {place}].",
        ],
        "es": [
            "{Name} [siempre había querido ver|soñaba con ver|nunca había visto] {the_place}. [Una mañana {weather_de}|Un día|Un día muy temprano], [preparó algo de comida|guardó {su_thing_look} en una bolsa|tomó su {thing}] y empezó a caminar.",
            "[El camino era largo|Estaba muy lejos|El camino no era fácil], [y {name} se cansó|pero {name} no se detuvo|y hacía mucho viento]. [Por el camino|A mitad del camino|Junto a un gran árbol] encontró a {friend}, {un_friend}. —¿[Adónde vas|Adónde quieres ir]? —preguntó {friend}. —¡A {the_place}! —dijo {name}—. ¡[Ven conmigo|Vamos junt{os}]!",
            "[Caminaron y cantaron|Hablaron todo el camino|Junt{os} caminaron más rápido]. Cuando [llegaron|por fin llegaron|llegaron a {the_place}], [todo era muy bonito|brillaba el sol|era todavía mejor que en un sueño]. {Name} [se rio de alegría|no lo podía creer|corrió y saltó].",
            "[Jugaron hasta la tarde|Comieron bajo el cielo|Descansaron y miraron las nubes]. [Por la noche|Después], {name} [volvió a casa muy {content}|se durmió y soñó con {the_place}|le contó a todo el mundo cómo era {the_place}].",
        ],
    },
    "skill": {
        "en": [
            "{Name} [wanted to learn|really wanted to learn|had a dream: {she} wanted] {skill}. [But it was not easy|The first time, it went badly|At first {she} could not do it], and [some laughed at {her}|{name} felt sad|{she} almost gave up].",
            "\"[I will try again|I can do it|I will not stop]!\" said {name}. [{Friend} the {friend_kind} saw this and said|{Pos} friend {friend}, the {friend_kind}, told {her}]: \"[Slowly, step by step|Do a little every day|Try again, I will help you].\"",
            "{Name} practised [every day|every morning near the {place}|day after day], [in the sun and in the rain|even when {she} was tired|and {friend} helped {her}]. [Little by little|After many days|One {weather} day], {she} [did it better|got better and better|was not afraid any more].",
            "[In the end|At last|Finally], {name} learned {skill}. [Everyone clapped|{Friend} was very proud|They had a big party with music]. [\"You see? Never give up,\" said {friend}|{Name} was the happiest {kind} of all|{Name} learned that with patience many things are possible].",
        ],
        "es": [
            "{Name} [quería aprender a|tenía muchas ganas de aprender a|tenía un sueño: aprender a] {skill}. [Pero no era fácil|La primera vez le salió mal|Al principio no podía], y [algunos se reían|{name} se puso triste|casi se rindió].",
            "—¡[Voy a intentarlo otra vez|Yo puedo|No voy a parar]! —dijo {name}. {Friend}, {un_friend}, [lo vio y le dijo|le dijo]: —[Despacio, paso a paso|Practica un poco cada día|Inténtalo otra vez, yo te ayudo].",
            "{Name} practicó [todos los días|cada mañana en {the_place}|día tras día], [con sol y con lluvia|aunque estaba {cansado}|y {friend} le ayudaba]. [Poco a poco|Después de muchos días|Un día {weather_de}], [le salió mejor|lo hizo cada vez mejor|ya no tenía miedo].",
            "[Al final|Por fin], {name} aprendió a {skill}. [Todos aplaudieron|{Friend} estaba muy {content_friend}|Hicieron una gran fiesta con música]. [—¿Lo ves? Nunca hay que rendirse —dijo {friend}|{Name} era {the_kind} más feliz de {the_place}|{Name} aprendió que con paciencia se puede hacer casi todo].",
        ],
    },
    "storm": {
        "en": [
            "[One day|One afternoon|One summer day], {name} was [playing|walking|looking for food] near the {place} when [the sky turned black|a big storm came|it began to rain very hard]. [The wind was strong and {name} was afraid|{She} was cold and wet|{She} did not know where to go].",
            "[Then|Suddenly], {she} heard a voice: \"[Come in, come in|Here, quickly|Come with me]!\" It was {friend}, {a_friend} who lived [in a small house|under an old tree|near the {place}]. {Name} [went in|ran to the door|said yes] because {she} needed help.",
            "{Friend} [lit the fire|gave {her} a warm blanket|made some hot tea] and they ate {food} together. They [told stories|sang songs|laughed and talked] until [the rain stopped|the storm was over].",
            "[When they went out|Outside|In the sky], [there was a beautiful rainbow|the sun was shining again|the air was clean and fresh]. \"Thank you, {friend}!\" said {name}. [Since that day they have been good friends|And so they became friends for ever|{Name} was not afraid of storms any more].",
        ],
        "es": [
            "[Un día|Una tarde|Un día de verano], {name} estaba [jugando|paseando|buscando comida] cerca de {the_place} cuando [el cielo se puso negro|llegó una gran tormenta|empezó a llover muy fuerte]. [Hacía mucho viento y {name} tenía miedo|Tenía frío y estaba {mojado}|No sabía adónde ir].",
            "[Entonces|De repente] oyó una voz: —¡[Entra, entra|Por aquí, rápido|Ven conmigo]! Era {friend}, {un_friend} que vivía [en una casa pequeña|debajo de un árbol viejo|cerca de {the_place}]. {Name} [entró|corrió hacia la puerta|dijo que sí] porque necesitaba ayuda.",
            "{Friend} [encendió el fuego|le dio una manta|preparó un té caliente] y comieron {food} junt{os}. [Contaron historias|Cantaron canciones|Hablaron y se rieron] hasta que [dejó de llover|pasó la tormenta].",
            "[Cuando salieron|Fuera|En el cielo] [había un arcoíris muy bonito|brillaba el sol otra vez|todo estaba limpio y tranquilo]. —¡Gracias, {friend}! —dijo {name}. [Desde ese día son muy buen{os} amig{os}|Y así se hicieron amig{os} para siempre|{Name} ya no tuvo miedo de las tormentas].",
        ],
    },
    "feast": {
        "en": [
            "[It was {name}'s birthday, so|There was a party near the {place}, so|One {weather} day] {name} [wanted|decided] to make {food}. {She} [worked all morning|put on {pos} {look} hat|went to the market], because {she} wanted to share it with {pos} friends.",
            "But [when {she} came back|in the afternoon|a little later], {the_food} [was gone|had disappeared]! \"[Who ate it|Where is it|What happened]?\" asked {name}. {Friend} the {friend_kind} [was red in the face|looked at the floor|said nothing].",
            "\"[I am sorry|Forgive me],\" said {friend}. \"[I was so hungry that I ate it|It smelled so good that I ate it all].\" {Name} was angry [at first|for a moment], but then {she} [laughed|smiled]: \"[Let us make more together|Then you will help me cook]!\"",
            "They cooked [all day|together and sang], and [everyone came to eat|there was enough for everybody|it was even better than before]. [That night nobody was hungry|{Friend} learned to ask first|And all of them were happy].",
        ],
        "es": [
            "[Era el cumpleaños de {name} y|Había una fiesta en {the_place} y|Un día {weather_de}] {name} [quiso|decidió] preparar {food}. [Trabajó toda la mañana|Se puso un sombrero {look_m}|Fue al mercado], porque quería compartir la comida con sus amigos.",
            "Pero [cuando volvió|por la tarde|un poco después], ¡{the_food} ya no estaba! —¿[Quién se lo ha comido|Dónde está|Qué ha pasado]? —preguntó {name}. {Friend}, {un_friend}, [se puso {rojo_friend}|miró al suelo|no dijo nada].",
            "—[Lo siento|Perdóname] —dijo {friend}—. [Tenía tanta hambre que me lo comí todo|Olía tan bien que me lo comí todo]. {Name} se enfadó [al principio|un momento], pero luego [se rio|sonrió]: —¡[Vamos a hacer más|Entonces me ayudarás a cocinar]!",
            "[Cocinaron todo el día|Cocinaron junt{os} y cantaron], y [todos vinieron a comer|hubo comida para todos|quedó todavía mejor]. [Esa noche nadie pasó hambre|{Friend} aprendió a pedir permiso|Y todos quedaron muy contentos].",
        ],
    },
}
OPENINGS = {
    "en": [
        "[Once upon a time|Once upon a time,|Long ago,] there was {a_trait_kind} [called|named] {name}. {She} lived [near|in|close to] the {home}[| with {pos} family| and had many friends].",
        "[In a small house|Far away,] near the {home}, [there lived|lived] {a_trait_kind} [called|named] {name}. {She} was {trait2} and {trait}.",
        "{Name} was {a_trait_kind} who lived [near|close to] the {home}. [Everybody liked {her}|{She} loved to play|{She} was very {trait2}].",
        "[This is the story of {name}, {a_trait_kind}.|There was once {a_trait_kind}. {Pos} name was {name}.]",
    ],
    "es": [
        "[Había una vez|Érase una vez|Hace mucho tiempo había] {un_kind_trait} que se llamaba {name}. Vivía [cerca de|junto a] {the_home}[| con su familia| y tenía muchos amigos].",
        "[En una casa pequeña|Muy lejos], cerca de {the_home}, vivía {un_kind_trait} [llamad{o}|que se llamaba] {name}. Era {trait2} y {trait}.",
        "{Name} era {un_kind_trait} que vivía [cerca de|junto a] {the_home}. [Todos {lo} querían|Le gustaba mucho jugar|Era muy {trait2}].",
        "[Esta es la historia de {name}, {un_kind_trait}.|Había una vez {un_kind_trait}. Se llamaba {name}.]",
    ],
}
ENDINGS = {
    "en": ["The end.", "The end.", "", "And they lived happily.", "And that is the story of {name}."],
    "es": ["Fin.", "Fin.", "", "Y vivieron felices.", "Y esta es la historia de {name}.",
           "Y colorín colorado, este cuento se ha acabado."],
}
BRIEF = {
    "en": ["{Name} was {a_trait_kind}. One day {she} found {a_look_thing} near the {place} and gave it to {friend}. They were both happy.",
           "{Name}, {a_trait_kind}, was lost near the {place}. {Friend} the {friend_kind} helped {her} to go home."],
    "es": ["{Name} era {un_kind_trait}. Un día encontró {un_thing_look} en {the_place} y se {lo_thing} dio a {friend}. {Los} dos quedaron content{os}.",
           "{Name}, {un_kind_trait}, se perdió cerca de {the_place}. {Friend}, {un_friend}, le ayudó a volver a casa."],
}


@dataclass
class Topic:
    """The requested topic of a story: the slot that it fills (`plot`) and its words."""

    plot: str
    entry: tuple


def draw_topic(rng: Random) -> Topic:
    kind = rng.random()
    if kind < 0.75:
        return Topic("hero", rng.choice(HEROES))
    if kind < 0.9:
        return Topic("object", rng.choice(words.OBJECTS))
    return Topic("place", rng.choice(words.PLACES))


def topic_names(topic: Topic) -> dict[str, str]:
    """The topic with its article, as in a request."""
    english, spanish, gender = topic.entry
    if topic.plot == "place":
        return {"en": "the " + english, "es": the(spanish, gender)}
    return {"en": a(english), "es": one(spanish, gender)}


def draw_cast(topic: Topic, rng: Random) -> dict[str, dict[str, str]]:
    hero = topic.entry if topic.plot == "hero" else rng.choice(HEROES)
    thing = topic.entry if topic.plot == "object" else rng.choice(words.OBJECTS)
    place = topic.entry if topic.plot == "place" else rng.choice(words.PLACES)
    # Not the place of the plot, which may be one the hero has never seen.
    home = rng.choice([entry for entry in words.PLACES if entry != place])
    friend = rng.choice([entry for entry in words.ANIMALS if entry[0] != hero[0]])
    name = rng.choice(words.NAMES[hero[2]])
    friend_name = rng.choice([other for other in words.NAMES[friend[2]] if other != name])
    trait, trait2 = rng.sample(words.TRAITS, 2)
    look = rng.choice(words.LOOKS)
    food = rng.choice(words.FOODS)
    skill = rng.choice(words.SKILLS)
    weather = rng.choice([("sunny", "de sol"), ("cold", "de frío"), ("windy", "de viento"), ("rainy", "de lluvia")])
    gender, friend_gender, thing_gender = hero[2], friend[2], thing[2]
    female = gender == "f"
    english = {
        "name": name, "kind": hero[0], "a_trait_kind": a(f"{trait[0]} {hero[0]}"),
        "trait": trait[0], "trait2": trait2[0],
        "she": "she" if female else "he", "her": "her" if female else "him",
        "pos": "her" if female else "his",
        "friend": friend_name, "friend_kind": friend[0], "a_friend": a(friend[0]),
        "thing": thing[0], "look": look[0], "a_look_thing": a(f"{look[0]} {thing[0]}"),
        "place": place[0], "home": home[0], "weather": weather[0],
        "food": food[0], "the_food": food[2], "skill": skill[0],
    }
    # A pair is feminine in Spanish only if both are.
    both = "as" if female and friend_gender == "f" else "os"
    thing_look = f"{thing[1]} {agree(look[1], thing_gender)}"
    spanish = {
        "name": name, "the_kind": the(hero[1], gender),
        "un_kind_trait": one(f"{hero[1]} {agree(trait[1], gender)}", gender),
        "trait": agree(trait[1], gender), "trait2": agree(trait2[1], gender),
        "o": "a" if female else "o", "lo": "la" if female else "lo", "pron": "ella" if female else "él",
        "os": both, "los": "l" + both,
        "content": agree("contento", gender), "cansado": agree("cansado", gender),
        "mojado": agree("mojado", gender),
        "friend": friend_name, "un_friend": one(friend[1], friend_gender),
        "content_friend": agree("contento", friend_gender), "rojo_friend": agree("rojo", friend_gender),
        "thing": thing[1], "the_thing": the(thing[1], thing_gender),
        "un_thing_look": one(thing_look, thing_gender), "su_thing_look": "su " + thing_look,
        "lo_thing": "la" if thing_gender == "f" else "lo",
        "pron_thing": "ella" if thing_gender == "f" else "él",
        "look": look[1], "look_m": look[1], "the_place": the(place[1], place[2]),
        "the_home": the(home[1], home[2]),
        "weather_de": weather[1], "food": food[1], "the_food": food[3], "skill": skill[1],
    }
    return {"en": english, "es": spanish}


def tell(topic: Topic, language: str, rng: Random, brief: bool = False) -> str:
    slots = draw_cast(topic, rng)[language]
    if brief:
        beats = [rng.choice(BRIEF[language])]
    else:
        plot = rng.choice(list(PLOTS)) if topic.plot == "hero" else topic.plot
        beats = [rng.choice(OPENINGS[language]), *PLOTS[plot][language], rng.choice(ENDINGS[language])]
    text = expand(" ".join(beats), slots, rng)
    return contract(text) if language == "es" else text
