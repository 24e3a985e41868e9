"""Snippets that the daemon does not render as Jinja2 does, with the reason.

The test fails if one of them is rendered as by Jinja2. docs/TEMPLATES.md sums them up.
"""

FOLDED = "minijinja computes an operation on literals while it compiles"
LENIENT = "minijinja's parser takes more than Jinja2's"
UNUSED = "not provided: no chat template is known that uses it"
RANDOM = "not provided: its result is random"
GENERATOR = "lists and generators are the same for minijinja"

DIFFERENCES = {
    "{{ 1e16 ~ '' }} {{ 'a' ~ none }} {{ 'a' ~ true }}": FOLDED,
    "{{ 1 < 'a' }}": FOLDED,
    "{{ none < 1 }}": FOLDED,
    "{{ [1] < 1 }}": FOLDED,
    "{{ {} < {} }}": FOLDED,
    "{{ 1 in 'abc' }}": FOLDED,
    "{{ 0777 }}": LENIENT,
    "{% raw +%}\n  a\n{% endraw %}\nb": LENIENT,
    "{{ 1__0 }}": LENIENT,
    "{{ 5. }}": LENIENT,
    "{% macro f(a,) %}{{ a }}{% endmacro %}{{ f(1,) }}": LENIENT,
    "{{ not missing is defined }} {{ n is defined and n > 5 }} {{ n is number is true }}": LENIENT,
    "{{ 'a' * 1.0 }}": "minijinja repeats a string by a float that is a whole number",
    "{#": "minijinja refuses a comment that is not closed",
    "{{ '\\N{BULLET}' }}": "not provided: names of characters",
    "{{ n.real }}": "not provided: attributes of numbers",
    "{{ n.bit_length() }} {{ f.is_integer() }} {{ n.conjugate() }}": "not provided: methods of numbers",
    "{{ map|pprint }}": "printed in one line, in the order of the map",
    "{{ self is defined }}": UNUSED,
    "{% macro f() %}{{ self is defined }}{% endmacro %}{{ f() }}": UNUSED,
    "{{ 'abc'.maketrans('a', 'x') }}": UNUSED,
    "{{ 'see http://x.org and a@b.org'|urlize }}": UNUSED,
    "{{ lipsum is defined }}": RANDOM,
    "{{ nums|tojson }} {{ nums|random in nums }} {{ [5]|random }}": RANDOM,
    "{{ map.get(key='alpha') }}": "arguments of methods have names",
    "{{ messages|map(attribute='role')|tojson }}": GENERATOR,
    "{{ map.items() is iterable }} {{ map.items() is sequence }} "
    "{{ nums|map('string') is iterable }} {{ nums|map('string') is sequence }}": GENERATOR,
    "{{ [1, 2, 3]|batch(0)|list }}": "minijinja refuses batches of nothing",
    "{% for x in nums %}{{ loop }}{% break %}{% endfor %}": "an object without a text is printed",
    "{% macro f() %}x{% endmacro %}{{ f.name }} {{ f.arguments }} {{ f is callable }}": (
        "the names of a macro's parameters are a list"
    ),
    "{% set items = [1] %}{{ items }} {% set loop = 3 %}{{ loop }}": (
        "minijinja does not assign to `loop`"
    ),
}
