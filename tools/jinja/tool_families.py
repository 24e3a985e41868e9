"""Templates of our own in the manner of families that know tools, documents and thinking."""

# The conversations that the templates render. Each is written by every template.
TOOLS = """{%- set tools = tools + [{'type': 'function', 'function': {'name': 'add', 'description': 'Adds <x> & "y"',
    'parameters': {'type': 'object', 'properties': {
        'x': {'type': 'number', 'description': "x's value", 'default': 1.5},
        'y': {'type': ['array', 'null'], 'items': {'type': 'string'}},
        'o': {'type': 'object', 'properties': {'q': {'type': 'string', 'enum': ['ä', 'b']}}}},
        'required': ['x', 'o']}}}] -%}
"""
CALL = """{%- set call = {'id': 'abcdefghi', 'type': 'function', 'function': {'name': 'weather',
    'arguments': {'town': 'Köln', 'days': 3, 'exact': true, 'share': 1.0, 'none': none, 'list': [1, {'a': 'b'}]}}} -%}
{%- set result = {'role': 'tool', 'tool_call_id': 'abcdefghi', 'name': 'weather', 'content': '{"t": 1.5e16}'} -%}
"""
CONVERSATIONS = [
    TOOLS + "{%- set messages = messages[:2] -%}",
    CALL
    + "{%- set messages = [messages[0], messages[1], {'role': 'assistant', 'content': '', 'tool_calls': [call]}, result] -%}",
    TOOLS
    + CALL
    + "{%- set messages = [messages[1], {'role': 'assistant', 'content': 'Hm.', 'reasoning_content': 'Which?\\n',"
    " 'tool_calls': [call, call]}, result, result, messages[2], messages[3]] -%}",
    "{%- set tools = none -%}{%- set documents = [{'title': 'T \"x\"', 'text': 'a\\nb', 'doc_id': 7}] -%}"
    "{%- set messages = messages[:2] + [{'role': 'assistant', 'content': 'c', 'reasoning_content': ' t '}] -%}"
    "{%- set add_generation_prompt = false -%}{%- set enable_thinking = false -%}",
]

JSON_TAGS = """{%- if tools %}
    {{- '<|head|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- "# Functions\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|tail|>\\n" }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == "assistant" %}
        {{- '<|head|>' + message.role }}
        {%- if message.reasoning_content is defined and message.reasoning_content %}
            {{- '\\n<think>\\n' + message.reasoning_content.strip('\\n') + '\\n</think>\\n' }}
        {%- endif %}
        {%- if message.content %}{{- '\\n' + message.content }}{%- endif %}
        {%- for tool_call in message.tool_calls %}
            {%- if tool_call.function %}{%- set tool_call = tool_call.function %}{%- endif %}
            {{- '\\n<tool_call>\\n{"name": "' }}{{- tool_call.name }}{{- '", "arguments": ' }}
            {%- if tool_call.arguments is string %}{{- tool_call.arguments }}{%- else %}{{- tool_call.arguments | tojson }}{%- endif %}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|tail|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}{{- '<|head|>user' }}{%- endif %}
        {{- '\\n<tool_response>\\n' + message.content + '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}{{- '<|tail|>\\n' }}{%- endif %}
    {%- elif message.role != "system" or not tools %}
        {{- '<|head|>' + message.role + '\\n' + message.content + '<|tail|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|head|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}"""

XML_PARAMETERS = """{% macro render_extra(schema, known) %}
{%- for key in schema if key not in known %}
{%- set name = key | replace("-", "_") | replace(" ", "_") | replace("$", "") %}
{{- '\\n<' ~ name ~ '>' ~ ((schema[key] | tojson | safe) if schema[key] is mapping or schema[key] is iterable and schema[key] is not string else schema[key] | string) ~ '</' ~ name ~ '>' }}
{%- endfor %}
{% endmacro %}
{%- if tools is iterable and tools | length > 0 %}
{{- "<tools>" }}
{%- for tool in tools %}
    {%- if tool.function is defined %}{%- set tool = tool.function %}{%- endif %}
    {{- "\\n<function>\\n<name>" ~ tool.name ~ "</name>" }}
    {%- if tool.description is defined %}{{- '\\n<description>' ~ (tool.description | trim) ~ '</description>' }}{%- endif %}
    {%- if tool.parameters is defined and tool.parameters is mapping and tool.parameters.properties is mapping %}
        {%- for name, fields in tool.parameters.properties | items %}
            {{- '\\n<parameter>\\n<name>' ~ name ~ '</name>' }}
            {%- if fields.type is defined %}{{- '\\n<type>' ~ (fields.type | string) ~ '</type>' }}{%- endif %}
            {{- render_extra(fields, ['name', 'type', 'description']) }}
            {{- '\\n</parameter>' }}
        {%- endfor %}
    {%- endif %}
    {{- render_extra(tool.parameters, ['type', 'properties']) }}
    {{- '\\n</function>' }}
{%- endfor %}
{{- "\\n</tools>\\n" }}
{%- endif %}
{%- for message in messages %}
    {%- if message.tool_calls is defined and message.tool_calls is iterable and message.tool_calls | length > 0 %}
        {{- '<|head|>' + message.role + '\\n' + (message.content | trim) }}
        {%- for tool_call in message.tool_calls %}
            {{- '\\n<tool_call>\\n<function=' + tool_call.function.name + '>\\n' }}
            {%- for name, value in tool_call.function.arguments | items %}
                {{- '<parameter=' + name + '>\\n' }}
                {%- set value = value | tojson | safe if value is mapping or (value is sequence and value is not string) else value | string %}
                {{- value }}
                {{- '\\n</parameter>\\n' }}
            {%- endfor %}
            {{- '</function>\\n</tool_call>' }}
        {%- endfor %}
    {%- else %}
        {{- '<|head|>' + message.role + '\\n' + message.content }}
    {%- endif %}
    {{- '<|tail|>\\n' }}
{%- endfor %}"""

TYPES = """{%- macro type_of(spec, names) -%}
    {%- if spec.type == "array" -%}
        {%- if spec['items'] -%}{{- type_of(spec['items'], names) + "[]" -}}{%- else -%}any[]{%- endif -%}
        {%- if spec.nullable -%}{{- " | null" -}}{%- endif -%}
    {%- elif spec.type is defined and spec.type is iterable and spec.type is not string and spec.type is not mapping and spec.type[0] is defined -%}
        {%- if spec.type | length > 1 -%}{{- spec.type | join(" | ") -}}{%- else -%}{{- spec.type[0] -}}{%- endif -%}
    {%- elif spec.enum -%}
        {{- '"' + spec.enum | join('" | "') + '"' -}}
    {%- elif spec.type == "object" and spec.properties -%}
        {{- "{\\n" -}}
        {%- for name, inner in spec.properties.items() -%}
            {{- name -}}
            {%- if name not in (spec.required or []) -%}{{- "?" -}}{%- endif -%}
            {{- ": " -}}{{- type_of(inner, spec.required or []) }}
            {%- if not loop.last -%}{{- ", " -}}{%- endif -%}
        {%- endfor -%}
        {{- "}" -}}
    {%- elif spec.type in ("number", "integer") -%}
        {{- "number" -}}
    {%- else -%}
        {{- spec.type | default("any", true) -}}
    {%- endif -%}
{%- endmacro -%}
{%- macro namespace_of(name, tools) -%}
    {{- "namespace " + name + " {\\n\\n" }}
    {%- for tool in tools %}
        {%- set tool = tool.function %}
        {{- "// " + tool.description + "\\ntype " + tool.name + " = " }}
        {%- if tool.parameters and tool.parameters.properties %}
            {{- "(_: {\\n" }}
            {%- for name, spec in tool.parameters.properties.items() %}
                {%- if spec.description %}{{- "// " + spec.description + "\\n" }}{%- endif %}
                {{- name + ("?" if name not in (tool.parameters.required or []) else "") + ": " + type_of(spec, []) }}
                {%- if spec.default is defined %}
                    {%- if spec.enum %}{{- ", // default: " + spec.default }}{%- else %}{{- ", // default: " + spec.default | tojson }}{%- endif %}
                {%- endif %}
                {{- ",\\n" }}
            {%- endfor %}
            {{- "}) => any;\\n\\n" }}
        {%- else %}
            {{- "() => any;\\n\\n" }}
        {%- endif %}
    {%- endfor %}
    {{- "} // namespace " + name }}
{%- endmacro -%}
{%- if tools -%}{{- namespace_of("functions", tools) + "\\n" }}{%- endif -%}
{%- set last = namespace(name=none) %}
{%- for message in messages -%}
    {%- if message.role == 'assistant' and 'tool_calls' in message -%}
        {%- set tool_call = message.tool_calls[0] %}
        {%- if tool_call.function %}{%- set tool_call = tool_call.function %}{%- endif %}
        {{- "<|open|>assistant to=functions." + tool_call.name + "<|lane|>commentary json<|text|>" + tool_call.arguments | tojson + "<|call|>" }}
        {%- set last.name = tool_call.name %}
    {%- elif message.role == 'tool' -%}
        {%- if last.name is none %}{{- raise_exception("no call before the result") }}{%- endif %}
        {{- "<|open|>functions." + last.name + " to=assistant<|lane|>commentary<|text|>" + message.content | tojson + "<|close|>" }}
    {%- else -%}
        {{- "<|open|>" + message.role + "<|text|>" + message.content + "<|close|>" }}
    {%- endif -%}
{%- endfor -%}"""

BRACKETS = """{%- if not tools is defined %}{%- set tools = none %}{%- endif %}
{%- set users = messages | selectattr("role", "equalto", "user") | list %}
{%- for message in messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == users[-1]) %}
            {{- "[TOOLS] [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, value in tool.items() if key != "return" %}
                    {%- if value is string %}{{- '"' + key + '": "' + value + '"' }}{%- else %}{{- '"' + key + '": ' + value | tojson }}{%- endif %}
                    {%- if not loop.last %}{{- ", " }}{%- endif %}
                {%- endfor %}
                {{- "}}" }}{%- if not loop.last %}{{- ", " }}{%- else %}{{- "]" }}{%- endif %}
            {%- endfor %}
            {{- "[/TOOLS]" }}
        {%- endif %}
        {{- "[INST] " + message["content"] + "[/INST]" }}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[TOOL_CALLS] [" }}
        {%- for tool_call in message.tool_calls %}
            {%- set out = tool_call.function | tojson %}
            {{- out[:-1] }}
            {%- if not tool_call.id is defined or tool_call.id | length != 9 %}{{- raise_exception("ids have 9 characters") }}{%- endif %}
            {{- ', "id": "' + tool_call.id + '"}' }}
            {%- if not loop.last %}{{- ", " }}{%- else %}{{- "]" + eos_token }}{%- endif %}
        {%- endfor %}
    {%- elif message["role"] == "tool" %}
        {%- set content = message.content.content if message.content is mapping else message.content %}
        {{- '[TOOL_RESULTS] {"content": ' + content | string + ", " }}
        {{- '"call_id": "' + message.tool_call_id + '"}[/TOOL_RESULTS]' }}
    {%- else %}
        {{- message.role ~ ":" ~ message["content"] | trim + eos_token }}
    {%- endif %}
{%- endfor %}"""

ARGUMENTS = """{%- if tools %}{{- "Functions: " + tools | map(attribute='function') | map(attribute='name') | join(', ') + "\\n" + tools | tojson(indent=4) + "\\n" }}{% endif %}
{%- for message in messages %}
    {%- if message.tool_calls %}
        {%- set calls = namespace(all=[]) %}
        {%- for tool_call in message.tool_calls %}
            {%- set given = namespace(all=[]) %}
            {%- for key in tool_call.function.arguments %}
                {%- set value = tool_call.function.arguments[key] %}
                {%- set given.all = given.all + [key ~ '=' ~ (('"' ~ value ~ '"') if value is string else value)] %}
            {%- endfor %}
            {%- set calls.all = calls.all + [tool_call.function.name + '(' + given.all | join(', ') + ')'] %}
        {%- endfor %}
        {{- '[' + calls.all | join(', ') + ']' }}
        {%- for key, value in message.tool_calls[0].function.arguments | dictsort %}
            {{- '\\n<arg_key>' ~ key ~ '</arg_key><arg_value>' }}{{ value | tojson(ensure_ascii=False) if value is not string else value }}{{ '</arg_value>' }}
        {%- endfor %}
    {%- else %}
        {{- '<' + message.role + '>' + message.content | string }}
    {%- endif %}
{%- endfor %}
{%- for document in documents or [] %}
    {{- '\\n<document id="' ~ document['doc_id'] | default(loop.index) ~ '">' }}
    {%- for key in document.keys() if key != 'doc_id' %}{{- '\\n' + key | title + ': ' + document[key] }}{%- endfor %}
    {{- '\\n</document>' }}
{%- endfor %}"""

PRINTED = """{{ tools }}|{% for message in messages %}{{ message.tool_calls }}{{ message.get('reasoning_content', '') | trim }}
{%- for call in message.tool_calls or [] %}{{ call.function.arguments }}{{ call['function']['arguments'].items() | list }}{% endfor %}
{%- if message.role == 'tool' %}{{ message.name ~ ':' ~ message.content }}{% endif %}{% endfor %}|{{ documents }}"""

FAMILIES = [JSON_TAGS, XML_PARAMETERS, TYPES, BRACKETS, ARGUMENTS, PRINTED]

TEMPLATES = [conversation + family for family in FAMILIES for conversation in CONVERSATIONS]
