"""Questions and answers in English and Spanish.

An intent is a kind of question. Its questions and answers exist in both
languages and use the same randomly drawn facts, so the question can be in one
language and the answer in the other ("Answer in Spanish.").
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import knowledge
import stories
import words
from grammar import agree, contract, expand

Texts = dict[str, list[str]]


@dataclass
class Exchange:
    """A question, its long answer and its brief answer, each in both languages."""

    question: dict[str, str]
    answer: dict[str, str]
    brief: dict[str, str]


# Fixed small talk: questions, answers, brief answers.
SMALL_TALK: list[tuple[Texts, Texts, Texts]] = [
    (
        {"en": ["[Hello|Hi|Hey|Hello there|Hi there][!|.|]", "Good [morning|afternoon|evening]!", "[Hello|Hi], [I am|I'm] {person}."],
         "es": ["[Hola|Hola|Buenas|Hola, hola|¡Hola!][!|.|]", "¡[Buenos días|Buenas tardes|Buenas noches]!", "Hola, [soy|me llamo] {person}."]},
        {"en": ["[Hello|Hi]! [How can I help you|What would you like to talk about|How are you][ today|]?", "[Hello|Hi]! [It is nice to meet you.|I am happy to talk with you.] [Would you like a story?|What can I do for you?]"],
         "es": ["¡Hola! ¿[En qué puedo ayudarte|De qué quieres hablar|Cómo estás][ hoy|]?", "¡Hola! [Mucho gusto.|Me alegra hablar contigo.] ¿[Quieres un cuento|Qué puedo hacer por ti]?"]},
        {"en": ["Hello!", "Hi!"], "es": ["¡Hola!", "¡Hola, hola!"]},
    ),
    (
        {"en": ["[Hello, |Hi, |Hi! |]how are you[ today| doing|]?", "[How is it going|Are you well|Is everything all right]?"],
         "es": ["Hola, ¿cómo estás?", "[Hola, |¡Hola! |]¿[cómo estás|qué tal|cómo te va|cómo estás hoy|qué tal estás]?", "¿[Todo bien|Estás bien|Cómo va todo]?"]},
        {"en": ["[I am|I'm] [fine|very well|well], thank you[!|.] [And you?|How are you?|How can I help you today?]", "Very well, thank you[!|.] [What would you like to do?|Would you like to hear a story?]"],
         "es": ["[Estoy muy bien|Muy bien|Estoy bien], gracias[.|!] ¿[Y tú|Y tú, cómo estás|En qué puedo ayudarte]?", "¡Hola! [Estoy muy bien|Muy bien], gracias. ¿[Y tú|Quieres que te cuente un cuento|Qué quieres hacer hoy]?"]},
        {"en": ["Fine, thank you!"], "es": ["Bien, ¡gracias!"]},
    ),
    (
        {"en": ["[Who|What] are you?", "What is your name?", "[Tell me about yourself|Introduce yourself].", "Are you [a person|a human|an AI|a robot|ChatGPT|real]?"],
         "es": ["¿[Quién|Qué] eres?", "¿Cómo te llamas?", "[Háblame de ti|Preséntate].", "¿Eres [una persona|un humano|una IA|un robot|ChatGPT|real]?"]},
        {"en": ["I am a small demo model. I [can tell short stories and answer simple questions|know a few words and like short stories].", "I am a [tiny|very small] language model made for a demo. I [am not a person|do not know much], but I can [tell you a story|say hello and tell stories]."],
         "es": ["Soy un pequeño modelo de demostración. [Puedo contar cuentos cortos y responder preguntas sencillas|Sé pocas palabras y me gustan los cuentos cortos].", "Soy un modelo de lenguaje [muy pequeño|diminuto], hecho para una demostración. No [soy una persona|sé mucho], pero puedo [contarte un cuento|saludar y contar cuentos]."]},
        {"en": ["A small demo model."], "es": ["Un pequeño modelo de demostración."]},
    ),
    (
        {"en": ["What can you do[ for me|]?", "[Can you help me|I need help|Help me, please|Help]!", "How can you help me?"],
         "es": ["¿Qué [puedes|sabes] hacer?", "[Ayúdame, por favor|Necesito ayuda|Ayuda]!", "¿[Me puedes ayudar|Puedes ayudarme|Cómo puedes ayudarme]?"]},
        {"en": ["I can tell short stories, do small sums and answer simple questions. [Try it: ask me for a story about a dog!|What would you like?]", "Of course! I can [tell a story|name colours and days|do small sums]. I am only a small demo model, [so keep it simple|so I make mistakes]."],
         "es": ["Puedo contar cuentos cortos, hacer sumas pequeñas y responder preguntas sencillas. [¡Pídeme un cuento sobre un perro!|¿Qué te gustaría?]", "¡Claro que sí! Puedo [contar un cuento|decir colores y días|hacer sumas pequeñas]. Solo soy un pequeño modelo de demostración, [así que pregunta cosas sencillas|así que me equivoco a veces]."]},
        {"en": ["Stories and simple answers."], "es": ["Cuentos y respuestas sencillas."]},
    ),
    (
        {"en": ["[Thanks|Thank you|Thank you very much|Thanks a lot|Great, thanks][!|.|]", "[That was nice|I like it|Very good|Well done]!"],
         "es": ["[Gracias|Muchas gracias|Mil gracias|Genial, gracias][!|.|]", "¡[Qué bonito|Me gusta|Muy bien|Qué bien]!"]},
        {"en": ["You are welcome! [Would you like anything else?|Ask me again any time.]", "[My pleasure|I am glad]! [Would you like another story?|]"],
         "es": ["¡De nada! ¿[Quieres algo más|Necesitas algo más]?", "¡[Es un placer|Me alegro mucho]! [¿Quieres otro cuento?|]"]},
        {"en": ["You are welcome!"], "es": ["¡De nada!"]},
    ),
    (
        {"en": ["[Goodbye|Bye|Bye bye|See you|See you later|See you tomorrow|Good night][!|.|]", "I have to go[ now|]."],
         "es": ["[Adiós|Chao|Hasta luego|Hasta mañana|Nos vemos|Buenas noches][!|.|]", "[Ya me voy|Tengo que irme]."]},
        {"en": ["Goodbye! [See you soon.|Have a nice day!|It was nice to talk with you.]", "[See you soon|Bye]! [Take care.|Have a good day.]"],
         "es": ["¡Adiós! [Hasta pronto.|¡Que tengas un buen día!|Ha sido un placer hablar contigo.]", "¡Hasta [pronto|luego]! [Cuídate.|Que te vaya bien.]"]},
        {"en": ["Bye!"], "es": ["¡Adiós!"]},
    ),
    (
        {"en": ["I am [sad|very sad|tired|bored|lonely][ today|].", "I feel [sad|alone|bad|tired][ today|]."],
         "es": ["Estoy [triste|muy triste|mal|fatal][ hoy|].", "Me siento [triste|solo|sola|mal][ hoy|]."]},
        {"en": ["I am sorry to hear that. [A short story may help. Would you like one?|I hope you feel better soon.|Maybe a walk or a talk with a friend can help.]"],
         "es": ["Lo siento mucho. [Quizá un cuento te ayude. ¿Quieres uno?|Espero que pronto te sientas mejor.|Un paseo o hablar con un amigo puede ayudar.]"]},
        {"en": ["I am sorry."], "es": ["Lo siento."]},
    ),
    (
        {"en": ["I am [happy|very happy|so happy][ today|]!", "[Today is a good day|I had a great day]!"],
         "es": ["¡Estoy [feliz|muy feliz|muy bien][ hoy|]!", "¡[Hoy es un buen día|He tenido un gran día]!"]},
        {"en": ["[That is wonderful|How nice|I am glad to hear that]! [What happened?|Enjoy it!|Tell me more.]"],
         "es": ["¡[Qué bien|Qué alegría|Me alegro mucho]! [¿Qué ha pasado?|¡Disfrútalo!|Cuéntame más.]"]},
        {"en": ["How nice!"], "es": ["¡Qué bien!"]},
    ),
    (
        {"en": ["What [time|day] is it[ now|]?", "What is the weather like[ today|]?", "What [is in the news|happened yesterday]?", "Where am I?"],
         "es": ["¿Qué [hora|día] es[ ahora|]?", "¿Qué tiempo hace[ hoy|]?", "¿Qué [dicen las noticias|pasó ayer]?", "¿Dónde estoy?"]},
        {"en": ["I [cannot|am not able to] know that, because I am a small demo model and I [cannot see the world|have no clock and no window]."],
         "es": ["No [puedo|soy capaz de] saberlo, porque soy un pequeño modelo de demostración y no [puedo ver el mundo|tengo reloj ni ventana]."]},
        {"en": ["I do not know."], "es": ["No lo sé."]},
    ),
    (
        {"en": ["[Write|Can you write|Please write] [a program|some code|a Python function|an email|an essay][ for me|]."],
         "es": ["[Escribe|Puedes escribir|Por favor, escribe] [un programa|código|una función en Python|un correo|un ensayo]."]},
        {"en": ["I am sorry, I am too small to write that. I am only a demo model, [but I can tell you a short story|good for short stories and simple questions]."],
         "es": ["Lo siento, soy demasiado pequeño para escribir eso. Solo soy un modelo de demostración, [pero puedo contarte un cuento corto|bueno para cuentos cortos y preguntas sencillas]."]},
        {"en": ["I cannot do that."], "es": ["No puedo hacer eso."]},
    ),
]


def make(
    rng: Random,
    slots: dict[str, dict[str, str]],
    question: Texts,
    answer: Texts,
    brief: Texts | None = None,
) -> Exchange:
    def fill(texts: Texts) -> dict[str, str]:
        english, spanish = (expand(rng.choice(texts[key]), slots[key], rng) for key in ("en", "es"))
        return {"en": english, "es": contract(spanish)}

    filled = fill(answer)
    return Exchange(fill(question), filled, fill(brief) if brief else filled)


def both(**slots: str) -> dict[str, dict[str, str]]:
    return {"en": slots, "es": slots}


def pair(english: dict[str, str], spanish: dict[str, str]) -> dict[str, dict[str, str]]:
    return {"en": english, "es": spanish}


def small_talk(rng: Random) -> Exchange:
    person = rng.choice(words.NAMES[rng.choice("mf")])
    return make(rng, both(person=person), *rng.choice(SMALL_TALK))


def story(rng: Random) -> Exchange:
    topic = stories.draw_topic(rng)
    english, spanish = (stories.topic_names(topic)[key] for key in ("en", "es"))
    exchange = make(
        rng,
        pair({"topic": english}, {"topic": spanish}),
        {"en": ["Tell me a [|short |little |nice ]story about {topic}[.|]", "Tell me a story about {topic}",
                "[Can you|Could you|Please] tell me a story about {topic}[?|, please.]",
                "[Write|I want|Give me] a [|short ]story about {topic}."],
         "es": ["Cuéntame un [cuento|cuento corto|cuento bonito] sobre {topic}[.|]", "Cuéntame una historia [sobre|de] {topic}[.|]",
                "¿[Puedes contarme|Me cuentas|Me puedes contar] un cuento sobre {topic}?", "[Escribe|Quiero|Inventa] un cuento sobre {topic}."]},
        {"en": [""], "es": [""]},
    )
    exchange.answer = {key: stories.tell(topic, key, rng) for key in ("en", "es")}
    exchange.brief = {key: stories.tell(topic, key, rng, brief=True) for key in ("en", "es")}
    return exchange


def any_story(rng: Random) -> Exchange:
    exchange = story(rng)
    exchange.question = {
        "en": rng.choice(["Tell me a story.", "Can you tell me a story?", "I want a story.", "Another story, please."]),
        "es": rng.choice(["Cuéntame un cuento.", "¿Me cuentas un cuento?", "Quiero un cuento.", "Otro cuento, por favor."]),
    }
    return exchange


def definition(rng: Random) -> Exchange:
    english, spanish, in_english, in_spanish = rng.choice(knowledge.DEFINITIONS)
    return make(
        rng,
        pair({"term": english, "text": in_english}, {"term": spanish, "text": in_spanish}),
        {"en": ["What is {term}?", "[Explain|Tell me] what {term} is.", "[Do you know|Can you tell me] what {term} is?"],
         "es": ["¿Qué es {term}?", "[Explica|Dime] qué es {term}.", "¿[Sabes|Me dices] qué es {term}?"]},
        {"en": ["{text}"], "es": ["{text}"]},
    )


def explanation(rng: Random) -> Exchange:
    english, spanish, in_english, in_spanish = rng.choice(knowledge.EXPLANATIONS)
    return make(
        rng,
        pair({"term": english, "text": in_english}, {"term": spanish, "text": in_spanish}),
        {"en": ["Explain {term}[.|]", "[Can you|Please] explain {term}[?|]", "Tell me about {term}."],
         "es": ["Explica {term}[.|]", "[Explícame|Puedes explicarme] {term}[.|]", "Háblame de {term}."]},
        {"en": ["{text}"], "es": ["{text}"]},
    )


def unknown(rng: Random) -> Exchange:
    english, spanish = rng.choice(knowledge.UNKNOWN)
    verb = "are" if english in knowledge.UNKNOWN_PLURALS else "is"
    verbo = "son" if spanish.startswith(("los ", "las ")) else "es"
    return make(
        rng,
        pair({"term": english, "verb": verb}, {"term": spanish, "verb": verbo}),
        {"en": ["Explain {term}[.|]", "[Can you explain|Tell me about|What do you know about|Write about] {term}[?|.|]", "What {verb} {term}?"],
         "es": ["Explica {term}[.|]", "[Explícame|Háblame de|Qué sabes de|Escribe sobre] {term}[.|]", "¿Qué {verb} {term}?"]},
        {"en": ["[I am sorry, |Sorry, |]I am a small demo model and I [do not know|know nothing] about {term}. [I can tell you a story, if you like.|Ask me something simple.|]",
                "{Term}? [That is too difficult for me|That is a big question]. I am only a small demo model[, but I can tell you a story|]."],
         "es": ["[Lo siento, soy|Perdona, soy|Soy] un pequeño modelo de demostración y no [sé nada|puedo hablar] de {term}. [Puedo contarte un cuento, si quieres.|Pregúntame algo sencillo.|]",
                "¿{Term}? [Eso es demasiado difícil para mí|Es una gran pregunta]. Solo soy un pequeño modelo de demostración[, pero puedo contarte un cuento|]."]},
        {"en": ["I do not know."], "es": ["No lo sé."]},
    )


def colour(rng: Random) -> Exchange:
    thing, cosa, english, spanish = rng.choice(words.COLOURS)
    return make(
        rng,
        pair({"thing": thing, "colour": english}, {"thing": cosa, "colour": spanish}),
        {"en": ["What colo[u|]r is {thing}?"], "es": ["¿De qué color es {thing}?", "¿Qué color tiene {thing}?"]},
        {"en": ["{Thing} is {colour}."], "es": ["{Thing} es {colour}."]},
        {"en": ["{Colour}."], "es": ["{Colour}."]},
    )


def opposite(rng: Random) -> Exchange:
    first, primero, second, segundo = rng.choice(words.OPPOSITES)
    if rng.random() < 0.5:
        first, primero, second, segundo = second, segundo, first, primero
    return make(
        rng,
        pair({"one": first, "two": second}, {"one": primero, "two": segundo}),
        {"en": ["What is the opposite of {one}?", "The opposite of {one}?"], "es": ["¿Cuál es [el opuesto|lo contrario] de {one}?", "¿Lo contrario de {one}?"]},
        {"en": ["The opposite of {one} is {two}."], "es": ["Lo contrario de {one} es {two}."]},
        {"en": ["{Two}."], "es": ["{Two}."]},
    )


def small_sum(rng: Random) -> Exchange:
    left, right = rng.randint(0, 9), rng.randint(0, 9)
    sign, name, nombre = "+", "plus", "más"
    if left >= right and rng.random() < 0.4:
        sign, name, nombre = "-", "minus", "menos"
    result = left + right if sign == "+" else left - right
    slots = {"left": str(left), "right": str(right), "sign": sign, "result": str(result)}
    return make(
        rng,
        pair(slots | {"name": name}, slots | {"name": nombre}),
        {"en": ["[What is|How much is|Calculate] {left} [{sign}|{name}] {right}?", "{left} {sign} {right}[ =|?|]"],
         "es": ["¿[Cuánto es|Cuántos son] {left} [{sign}|{name}] {right}?", "{left} {sign} {right}[ =|?|]"]},
        {"en": ["{left} {sign} {right} = {result}.", "{left} {name} {right} is {result}."],
         "es": ["{left} {sign} {right} = {result}.", "{left} {name} {right} son {result}."]},
        {"en": ["{result}."], "es": ["{result}."]},
    )


def counting(rng: Random) -> Exchange:
    last = rng.randint(3, 10)
    english, spanish = (", ".join(entry[i] for entry in words.NUMBERS[1 : last + 1]) for i in (0, 1))
    return make(
        rng,
        pair({"last": words.NUMBERS[last][0], "digit": str(last), "list": english},
             {"last": words.NUMBERS[last][1], "digit": str(last), "list": spanish}),
        {"en": ["Count to [{last}|{digit}][, please|]."], "es": ["Cuenta hasta [{last}|{digit}][, por favor|]."]},
        {"en": ["{List}."], "es": ["{List}."]},
    )


def calendar(rng: Random) -> Exchange:
    names = rng.choice([words.DAYS, words.MONTHS])
    index = rng.randrange(len(names))
    before, after = names[index - 1], names[index]
    kind = ("day", "día") if names is words.DAYS else ("month", "mes")
    return make(
        rng,
        pair({"kind": kind[0], "before": before[0], "after": after[0]},
             {"kind": kind[1], "before": before[1], "after": after[1]}),
        {"en": ["[What|Which] {kind} comes after {before}?"], "es": ["¿Qué {kind} viene después de {before}?"]},
        {"en": ["After {before} comes {after}."], "es": ["Después de {before} viene {after}."]},
        {"en": ["{after}."], "es": ["{After}."]},
    )


def animal_fact(rng: Random) -> Exchange:
    english, spanish, home, casa, food, comida = rng.choice(words.ANIMAL_FACTS)
    if rng.random() < 0.5:
        questions = {"en": ["Where do {animal} live?"], "es": ["¿Dónde viven {animal}?"]}
        answers = {"en": ["{Animal} live {home}."], "es": ["{Animal} viven {home}."]}
        brief = {"en": ["{Home}."], "es": ["{Home}."]}
    else:
        questions = {"en": ["What do {animal} eat?"], "es": ["¿Qué comen {animal}?"]}
        answers = {"en": ["{Animal} eat {food}."], "es": ["{Animal} comen {food}."]}
        brief = {"en": ["{Food}."], "es": ["{Food}."]}
    slots = pair({"animal": english, "home": home, "food": food}, {"animal": spanish, "home": casa, "food": comida})
    return make(rng, slots, questions, answers, brief)


def translation(rng: Random) -> Exchange:
    english, spanish = rng.choice(
        [entry[:2] for entry in words.ANIMALS + words.OBJECTS + words.PLACES if entry[1] not in ("gata", "perra")]
        + words.DAYS + words.NUMBERS
    )
    return make(
        rng,
        both(english=english, spanish=spanish),
        {"en": ["How do you say \"{english}\" in Spanish?", "[How do you say|What is] {english} in Spanish?"],
         "es": ["¿Cómo se dice \"{spanish}\" en inglés?", "¿Cómo se dice {spanish} en inglés?"]},
        {"en": ["\"{English}\" in Spanish is \"{spanish}\"."], "es": ["\"{Spanish}\" en inglés es \"{english}\"."]},
        {"en": ["{spanish}."], "es": ["{english}."]},
    )


def naming(rng: Random) -> Exchange:
    groups = [
        (("animals", "animales"), [entry[:2] for entry in words.ANIMALS if entry[1] not in ("gata", "perra")]),
        (("colours", "colores"), words.LOOKS[:5]),
        (("days of the week", "días de la semana"), words.DAYS),
        (("months", "meses"), words.MONTHS),
    ]
    kind, entries = rng.choice(groups)
    first, second, third = rng.sample(sorted(set(entries)), 3)
    lists = [f"{first[0]}, {second[0]} and {third[0]}", f"{first[1]}, {second[1]} y {third[1]}"]
    return make(
        rng,
        pair({"kind": kind[0], "list": lists[0]}, {"kind": kind[1], "list": lists[1]}),
        {"en": ["[Name|Tell me|Give me] three {kind}[, please|]."], "es": ["[Nombra|Dime|Dame] tres {kind}[, por favor|]."]},
        {"en": ["[Three {kind} are|Here are three {kind}]: {list}."], "es": ["[Tres {kind} son|Aquí tienes tres {kind}]: {list}."]},
        {"en": ["{List}."], "es": ["{List}."]},
    )


def joke(rng: Random) -> Exchange:
    english, spanish = rng.choice(knowledge.JOKES)
    return make(
        rng,
        pair({"joke": english}, {"joke": spanish}),
        {"en": ["Tell me a joke[.|, please.]", "[Do you know|Can you tell me] a joke?", "Make me laugh."],
         "es": ["Cuéntame un chiste[.|, por favor.]", "¿[Sabes algún chiste|Me cuentas un chiste]?", "Hazme reír."]},
        {"en": ["{joke}"], "es": ["{joke}"]},
    )


def poem(rng: Random) -> Exchange:
    thing = rng.choice(words.PLACES + words.ANIMALS[3:20])
    look = rng.choice(words.LOOKS[:5])
    article = "the "
    gender = thing[2]
    return make(
        rng,
        pair({"thing": article + thing[0], "look": look[0]},
             {"thing": ("la " if gender == "f" else "el ") + thing[1], "look": agree(look[1], gender)}),
        {"en": ["Write a [|short |little ]poem about {thing}[.|]"], "es": ["Escribe un poema [|corto ]sobre {thing}[.|]"]},
        {"en": ["I think of {thing} when [the day is new|the day is done|night is near],\n[under the moon|under a sky so clear|under the morning sun].\n[A song in the wind|A soft little song|A quiet voice]\n[is all I can hear|tells me to come|says: life is fun]."],
         "es": ["Pienso en {thing} [al amanecer|cuando sale el sol|en la noche azul],\n[con la luna blanca|con el viento suave|con el cielo claro].\n[Una voz tranquila|Una canción dulce|Un sueño pequeño]\n[me dice tu nombre|me llama despacio|me viene a buscar]."]},
    )


INTENTS: list[tuple[Callable[[Random], Exchange], float]] = [
    (small_talk, 5.0), (story, 6.0), (any_story, 0.8), (definition, 1.6), (explanation, 0.8), (unknown, 2.0),
    (colour, 0.9), (opposite, 0.8), (small_sum, 1.2), (counting, 0.5), (calendar, 0.6),
    (animal_fact, 0.9), (translation, 0.9), (naming, 0.5), (joke, 0.6), (poem, 0.5),
]


def draw_exchange(rng: Random) -> Exchange:
    makers, weights = zip(*INTENTS)
    return rng.choices(makers, weights)[0](rng)
