"""Word lists of the corpus, in English and Spanish side by side.

Each entry has the same word in both languages, so a question in one language
can be answered in the other. Spanish nouns have their gender, "m" or "f".
"""

# English, Spanish, gender of the Spanish noun.
ANIMALS = [
    ("dog", "perro", "m"), ("cat", "gato", "m"), ("cat", "gata", "f"), ("rabbit", "conejo", "m"),
    ("fox", "zorro", "m"), ("bear", "oso", "m"), ("mouse", "ratón", "m"), ("horse", "caballo", "m"),
    ("cow", "vaca", "f"), ("duck", "pato", "m"), ("frog", "rana", "f"), ("turtle", "tortuga", "f"),
    ("owl", "búho", "m"), ("bird", "pájaro", "m"), ("fish", "pez", "m"), ("wolf", "lobo", "m"),
    ("lion", "león", "m"), ("elephant", "elefante", "m"), ("bee", "abeja", "f"),
    ("butterfly", "mariposa", "f"), ("squirrel", "ardilla", "f"), ("penguin", "pingüino", "m"),
    ("monkey", "mono", "m"), ("sheep", "oveja", "f"), ("pig", "cerdo", "m"), ("hen", "gallina", "f"),
    ("dragon", "dragón", "m"), ("robot", "robot", "m"), ("dog", "perro", "m"), ("dog", "perra", "f"),
]
PEOPLE = [
    ("girl", "niña", "f"), ("boy", "niño", "m"), ("farmer", "granjero", "m"),
    ("princess", "princesa", "f"), ("king", "rey", "m"), ("teacher", "maestra", "f"),
    ("baker", "panadero", "m"), ("witch", "bruja", "f"), ("pirate", "pirata", "m"),
    ("doctor", "doctora", "f"), ("painter", "pintora", "f"), ("sailor", "marinero", "m"),
    ("gardener", "jardinera", "f"), ("astronaut", "astronauta", "f"), ("wizard", "mago", "m"),
]
NAMES = {
    "m": ["Max", "Tom", "Leo", "Sam", "Hugo", "Oscar", "Pablo", "Bruno", "Mateo", "Nico", "Simón",
          "Tito", "Daniel", "Marco"],
    "f": ["Luna", "Lily", "Ana", "Nina", "Sofía", "Clara", "Emma", "Rosa", "Julia", "Mia", "Carla",
          "Nora", "Elena", "Lola"],
}
OBJECTS = [
    ("ball", "pelota", "f"), ("kite", "cometa", "f"), ("book", "libro", "m"), ("key", "llave", "f"),
    ("hat", "sombrero", "m"), ("drum", "tambor", "m"), ("lamp", "lámpara", "f"), ("boat", "barco", "m"),
    ("basket", "cesta", "f"), ("bell", "campana", "f"), ("flute", "flauta", "f"), ("map", "mapa", "m"),
    ("blanket", "manta", "f"), ("mirror", "espejo", "m"), ("guitar", "guitarra", "f"),
    ("coin", "moneda", "f"), ("flower", "flor", "f"), ("letter", "carta", "f"), ("ring", "anillo", "m"),
    ("box", "caja", "f"), ("clock", "reloj", "m"), ("bicycle", "bicicleta", "f"),
]
PLACES = [
    ("forest", "bosque", "m"), ("park", "parque", "m"), ("river", "río", "m"), ("garden", "jardín", "m"),
    ("village", "pueblo", "m"), ("beach", "playa", "f"), ("mountain", "montaña", "f"),
    ("lake", "lago", "m"), ("farm", "granja", "f"), ("sea", "mar", "m"), ("school", "escuela", "f"),
    ("city", "ciudad", "f"), ("castle", "castillo", "m"), ("valley", "valle", "m"),
    ("island", "isla", "f"), ("market", "mercado", "m"), ("field", "campo", "m"),
]
# Something to eat, with its Spanish article.
FOODS = [
    ("a cake", "un pastel", "the cake", "el pastel"), ("a soup", "una sopa", "the soup", "la sopa"),
    ("an apple pie", "una tarta de manzana", "the pie", "la tarta"),
    ("a salad", "una ensalada", "the salad", "la ensalada"), ("some bread", "un pan", "the bread", "el pan"),
    ("an omelette", "una tortilla", "the omelette", "la tortilla"),
    ("a pizza", "una pizza", "the pizza", "la pizza"), ("some rice", "un arroz", "the rice", "el arroz"),
]
SKILLS = [
    ("to swim", "nadar"), ("to sing", "cantar"), ("to dance", "bailar"), ("to read", "leer"),
    ("to paint", "pintar"), ("to cook", "cocinar"), ("to jump very high", "saltar muy alto"),
    ("to play music", "tocar música"), ("to tell stories", "contar historias"),
]
# Spanish adjectives ending in -o agree with their noun; the others do not change.
TRAITS = [
    ("small", "pequeño"), ("brave", "valiente"), ("happy", "feliz"), ("quiet", "tranquilo"),
    ("kind", "amable"), ("curious", "curioso"), ("clever", "listo"), ("young", "joven"),
    ("shy", "tímido"), ("funny", "divertido"), ("friendly", "simpático"), ("lonely", "solitario"),
]
LOOKS = [
    ("red", "rojo"), ("blue", "azul"), ("green", "verde"), ("yellow", "amarillo"), ("white", "blanco"),
    ("old", "viejo"), ("new", "nuevo"), ("golden", "dorado"), ("big", "grande"), ("beautiful", "bonito"),
]
EMOJI = ["😊", "😊", "🌟", "🌞", "🐶", "🐱", "❤", "👋", "🎈", "🌈", "🦊", "🐢", "🍎", "🎉", "🦉", "🚲"]

# Thing and colour: "the sky is blue" / "el cielo es azul".
COLOURS = [
    ("the sky", "el cielo", "blue", "azul"), ("the grass", "la hierba", "green", "verde"),
    ("the snow", "la nieve", "white", "blanca"), ("the sun", "el sol", "yellow", "amarillo"),
    ("a banana", "un plátano", "yellow", "amarillo"), ("a tomato", "un tomate", "red", "rojo"),
    ("a lemon", "un limón", "yellow", "amarillo"), ("the sea", "el mar", "blue", "azul"),
    ("the night", "la noche", "black", "negra"), ("milk", "la leche", "white", "blanca"),
    ("an orange", "una naranja", "orange", "naranja"), ("a carrot", "una zanahoria", "orange", "naranja"),
    ("coal", "el carbón", "black", "negro"), ("a strawberry", "una fresa", "red", "roja"),
    ("a frog", "una rana", "green", "verde"), ("an elephant", "un elefante", "grey", "gris"),
    ("chocolate", "el chocolate", "brown", "marrón"), ("blood", "la sangre", "red", "roja"),
]
OPPOSITES = [
    ("hot", "caliente", "cold", "frío"), ("big", "grande", "small", "pequeño"),
    ("tall", "alto", "short", "bajo"), ("happy", "feliz", "sad", "triste"),
    ("fast", "rápido", "slow", "lento"), ("day", "día", "night", "noche"),
    ("open", "abierto", "closed", "cerrado"), ("new", "nuevo", "old", "viejo"),
    ("good", "bueno", "bad", "malo"), ("clean", "limpio", "dirty", "sucio"),
    ("full", "lleno", "empty", "vacío"), ("easy", "fácil", "difficult", "difícil"),
    ("strong", "fuerte", "weak", "débil"), ("light", "ligero", "heavy", "pesado"),
    ("rich", "rico", "poor", "pobre"), ("up", "arriba", "down", "abajo"),
    ("first", "primero", "last", "último"), ("yes", "sí", "no", "no"),
]
DAYS = [
    ("Monday", "lunes"), ("Tuesday", "martes"), ("Wednesday", "miércoles"), ("Thursday", "jueves"),
    ("Friday", "viernes"), ("Saturday", "sábado"), ("Sunday", "domingo"),
]
MONTHS = [
    ("January", "enero"), ("February", "febrero"), ("March", "marzo"), ("April", "abril"),
    ("May", "mayo"), ("June", "junio"), ("July", "julio"), ("August", "agosto"),
    ("September", "septiembre"), ("October", "octubre"), ("November", "noviembre"),
    ("December", "diciembre"),
]
NUMBERS = [
    ("zero", "cero"), ("one", "uno"), ("two", "dos"), ("three", "tres"), ("four", "cuatro"),
    ("five", "cinco"), ("six", "seis"), ("seven", "siete"), ("eight", "ocho"), ("nine", "nueve"),
    ("ten", "diez"),
]
# Animal, its home and its food, for sentences such as "Rabbits live in burrows".
ANIMAL_FACTS = [
    ("dogs", "los perros", "in houses with people", "en casas con personas", "meat and biscuits", "carne y galletas"),
    ("cats", "los gatos", "in houses and gardens", "en casas y jardines", "fish and meat", "pescado y carne"),
    ("cows", "las vacas", "on farms", "en las granjas", "grass", "hierba"),
    ("horses", "los caballos", "on farms and in fields", "en granjas y campos", "grass and carrots", "hierba y zanahorias"),
    ("rabbits", "los conejos", "in holes under the ground", "en agujeros bajo la tierra", "grass and carrots", "hierba y zanahorias"),
    ("bears", "los osos", "in forests and mountains", "en bosques y montañas", "fish, fruit and honey", "peces, fruta y miel"),
    ("penguins", "los pingüinos", "in cold places near the sea", "en lugares fríos cerca del mar", "fish", "peces"),
    ("bees", "las abejas", "in hives", "en colmenas", "the sweet juice of flowers", "el jugo dulce de las flores"),
    ("lions", "los leones", "in warm, dry lands", "en tierras cálidas y secas", "meat", "carne"),
    ("elephants", "los elefantes", "in warm lands with trees", "en tierras cálidas con árboles", "leaves and fruit", "hojas y fruta"),
    ("monkeys", "los monos", "in trees", "en los árboles", "fruit and leaves", "fruta y hojas"),
    ("frogs", "las ranas", "near water", "cerca del agua", "insects", "insectos"),
    ("owls", "los búhos", "in old trees", "en árboles viejos", "mice and insects", "ratones e insectos"),
    ("birds", "los pájaros", "in nests", "en nidos", "seeds and insects", "semillas e insectos"),
    ("fish", "los peces", "in rivers and seas", "en ríos y mares", "small animals and plants", "animales pequeños y plantas"),
]
