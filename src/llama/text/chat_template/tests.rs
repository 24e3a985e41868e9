//! Templates in the style of several model families, and hostile templates.

use std::sync::mpsc;

use super::*;
use crate::domain::Role;

fn template(source: &str) -> ChatTemplate {
    ChatTemplate::new(source.to_owned(), "<s>".to_owned(), "</s>".to_owned()).unwrap()
}

fn message(role: Role, content: &str) -> TemplateMessage {
    TemplateMessage::new(role, TemplateContent::Text(content.to_owned()))
}

fn short() -> Vec<TemplateMessage> {
    vec![message(Role::System, "Be kind."), message(Role::User, "  ¿Qué tal? 🦊 ")]
}

#[test]
fn blocks_are_trimmed_as_in_transformers() {
    // ChatML style: indented blocks on lines of their own.
    let source = "{% for message in messages %}\n    {% if message['role'] == 'system' %}\n\
                  <|im_start|>system {{ message.content }}<|im_end|>\n    {% else %}\n\
                  <|im_start|>{{ message['role'] + ' ' + message['content'] | trim }}<|im_end|>\n\
                  \x20   {% endif %}\n{% endfor %}\n\
                  {% if add_generation_prompt %}\n<|im_start|>assistant\n{% endif %}";
    let expected = "<|im_start|>system Be kind.<|im_end|>\n<|im_start|>user ¿Qué tal? 🦊<|im_end|>\n\
                    <|im_start|>assistant\n";
    assert_eq!(template(source).render(short()).unwrap(), expected);
}

#[test]
fn string_methods_slices_and_namespaces_work_as_in_python() {
    // Llama 3 and DeepSeek style: state in a namespace, slices, methods, `is defined`.
    let source = "{%- set ns = namespace(system='', n=0) -%}\
                  {%- if messages[0]['role'] == 'system' -%}\
                  {%- set ns.system = messages[0]['content'].strip().upper() -%}\
                  {%- set messages = messages[1:] -%}{%- endif -%}\
                  {%- if tools is defined and tools is not none -%}tools{%- endif -%}\
                  {%- if not date_string is defined -%}{%- set date_string = '26 Jul 2024' -%}\
                  {%- endif -%}{{ bos_token }}{{ ns.system }}|{{ date_string }}|\
                  {%- for message in messages -%}{%- set ns.n = ns.n + 1 -%}\
                  {%- if message.content is string and not message.content.startswith('x') -%}\
                  {{ loop.index0 }}:{{ message.content.split('?')[0].lstrip() }}\
                  {%- endif -%}{%- endfor -%}|{{ ns.n }}{{ eos_token }}";
    let text = template(source).render(short()).unwrap();
    assert_eq!(text, "<s>BE KIND.|26 Jul 2024|0:¿Qué tal|1</s>");
}

#[test]
fn exception_raised_by_a_template_is_reported_in_its_own_words() {
    // Gemma and Mistral style, without a system role.
    let source = "{{ bos_token }}{% if messages[0]['role'] == 'system' %}\
                  {{ raise_exception('System role not supported') }}{% endif %}ok";
    let error = template(source).render(short()).unwrap_err();
    assert!(error.contains("System role not supported"), "{error}");
    let error = template("{{ raise_exception('a\\n\u{1b}b' ~ 'c' * 5000000) }}").render(short());
    let error = error.unwrap_err();
    assert!(error.contains("a\\n\\u{1b}bccc"), "{error}");
    assert!(error.len() < 1100, "{} bytes", error.len());
    assert_eq!(template(source).render(vec![message(Role::User, "x")]).unwrap(), "<s>ok");
}

#[test]
fn strftime_now_writes_the_current_date_in_the_given_format() {
    // gpt-oss and Mistral Small style.
    let source = "{%- set today = strftime_now('%Y-%m-%d') -%}Current date: {{ today }}.";
    let text = template(source).render(short()).unwrap();
    let date = text.strip_prefix("Current date: ").unwrap().strip_suffix('.').unwrap();
    let parts: Vec<u32> = date.split('-').map(|part| part.parse().unwrap()).collect();
    assert!(matches!(parts[..], [1970..=9999, 1..=12, 1..=31]), "{date}");
    assert_eq!(template("{{ strftime_now('100%% %n') }}").render(short()).unwrap(), "100% \n");
    for form in ["%", "%Ä", &"%255Y".repeat(100)] {
        let error = template(&format!("{{{{ strftime_now('{form}') }}}}")).render(short());
        assert!(error.unwrap_err().contains("strftime_now"), "{form}");
    }
}

#[test]
fn generation_blocks_are_written_like_other_text() {
    // SmolLM3 style.
    let source = "{% for message in messages %}\n  {% generation %}\n\
                  {{ message.content | trim }}\n  \
                  {%- endgeneration -%}\n{% endfor %}";
    assert_eq!(template(source).render(short()).unwrap(), "Be kind.¿Qué tal? 🦊");
}

#[test]
fn template_that_is_not_jinja_is_an_error() {
    let broken = ChatTemplate::new("{% for %}".to_owned(), String::new(), String::new());
    assert!(broken.is_err());
}

/// A conversation of short messages.
fn long(n_messages: usize) -> Vec<TemplateMessage> {
    let role = |index| if index % 2 == 0 { Role::User } else { Role::Assistant };
    (0..n_messages).map(|index| message(role(index), &format!("{index}."))).collect()
}

#[test]
fn longest_conversation_is_rendered_if_work_grows_with_its_length() {
    let source = "{%- set ns = namespace(last=-1) -%}{%- for m in messages -%}\
                  {%- if m.role == 'user' -%}{%- set ns.last = loop.index0 -%}{%- endif -%}\
                  {%- endfor -%}{%- for m in messages[::-1] -%}\
                  {%- if loop.first or m['content'].split('.')[0] == '0' -%}\
                  {{ ns.last }}:{{ m.content | trim }};{%- endif -%}{%- endfor -%}";
    let text = template(source).render(long(16_384)).unwrap();
    assert_eq!(text, "16382:16383.;16382:0.;");
}

#[test]
fn conversation_is_refused_as_too_long_if_each_message_visits_all_others() {
    let source = "{%- for m in messages -%}{%- set found = namespace(it=false) -%}\
                  {%- for j in range(loop.index0, -1, -1) -%}{%- if not found.it -%}\
                  {%- set found.it = true -%}{%- endif -%}{%- endfor -%}{{ m.content }}\
                  {%- endfor -%}";
    let template = template(source);
    assert_eq!(template.render(long(3)).unwrap(), "0.1.2.");
    assert!(template.render(long(1_500)).is_ok());
    let error = template.render(long(16_384)).unwrap_err();
    assert!(error.contains("too long for this template"), "{error}");
}

#[test]
fn hostile_template_is_refused() {
    let doubled = "{% set n = namespace(a=[1]) %}{% for i in range(60) %}\
                   {% set n.a = [n.a, n.a] %}{% endfor %}";
    let ends = [
        "{{ n.a }}",
        "{{ n.a|tojson }}",
        "{{ n.a|upper }}",
        "{{ n.a == [n.a] }}",
        "{{ [n.a]|unique|list }}",
        "{{ [n.a]|select('equalto', n.a)|list }}",
        "{{ messages|map(attribute=n.a)|list }}",
        "{{ messages|selectattr(n.a)|list }}",
        "{% for x in [n.a, n.a] %}{{ loop.changed(x) }}{% endfor %}",
        "{{ raise_exception(n.a) }}",
        "{{ '%s' % n.a }}",
        "{{ '{}'.format(n.a) }}",
    ];
    let doubled = ends.map(|end| format!("{doubled}{end}"));
    let others = [
        "{% set n = namespace(a=[1]) %}{% for i in range(60) %}{% set n.a = n.a + n.a %}\
         {% endfor %}{{ n.a|length }}",
        "{% set n = namespace(a='x') %}{% for i in range(60) %}{% set n.a = n.a ~ n.a %}\
         {% endfor %}{{ n.a|length }}",
        "{{ 'x' * 10**9 }}",
        "{{ ([0] * 10**8)|list|length }}",
        "{{ '%999999999d' % 1 }}",
        "{{ '%*d' % (10**9, 1) }}",
        "{{ '%.999999999f' % 1.5 }}",
        "{{ '{:999999999}'.format(1) }}",
        "{{ '{:{}}'.format('x', 10**9) }}",
        "{{ 'x'|center(10**9) }}",
        "{{ 'x'.rjust(10**12) }}",
        "{{ 'x'.zfill(10**9) }}",
        "{{ '\\t'.expandtabs(10**9) }}",
        "{{ 'x'|indent(10**9, true) }}",
        "{{ ('a '*1000000)|wordwrap(1, wrapstring='x'*1000) }}",
        "{{ [1]|batch(10**9, 0)|list }}",
        "{{ [1]|slice(10**9)|list|length }}",
        "{{ messages|tojson(indent=10**9) }}",
        "{{ range(10**9) }}",
        "{{ range(100000)|join('x'*10000) }}",
        "{{ ('a'*1000000).replace('a', 'b'*1000000) }}",
        "{{ 2 ** (10**9) }}",
        "{% macro f(x) %}{{ f(x) }}{{ f(x) }}{% endmacro %}{{ f(1) }}",
        "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(40) }}",
        "{% for x in [[1]] recursive %}{{ loop([x]) }}{% endfor %}",
        "{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}",
    ];
    let joined = format!("{{{{ 'a'{} }}}}", "~'a'".repeat(20_000));
    let all =
        others.iter().copied().chain(doubled.iter().map(|source| &**source)).chain([&*joined]);
    for source in all {
        let source = source.to_owned();
        assert!(outcome(&source).is_err(), "{source}");
    }
}

#[test]
fn template_with_endless_output_is_stopped() {
    let source = "{% for a in range(90000) %}{{ messages[0].content }}{% endfor %}";
    let long = "x".repeat(10_000);
    let error = template(source).render(vec![message(Role::User, &long)]).unwrap_err();
    assert!(!error.is_empty());
}

#[test]
fn template_has_access_to_nothing_but_its_variables() {
    for source in ["{% include 'other' %}", "{{ cycler.__init__ }}", "{{ undefined_function() }}"] {
        let writes_something = template(source).render(short()).is_ok_and(|text| !text.is_empty());
        assert!(!writes_something, "{source}");
    }
}

/// The result of compiling and rendering.
fn outcome(source: &str) -> Result<String, String> {
    let template = ChatTemplate::new(source.to_owned(), String::new(), String::new())?;
    template.render(short())
}

#[test]
fn value_that_grows_without_end_is_refused() {
    for source in [
        "{{ '{:>9999999999}'.format(1) }}",
        "{{ ('{}' * 1000000).format('x' * 1000000)|length }}",
        "{{ ('a' * 1000000).replace('a', 'b' * 1000000)|length }}",
        "{{ ('x' * 1000000).join(range(90000))|length }}",
        "{{ range(90000)|join('x' * 100000)|length }}",
    ] {
        let error = outcome(source).unwrap_err();
        assert!(error.starts_with("the chat template refuses this"), "{source}: {error}");
    }
    // Lists nested without a namespace, as deep as the size of a source allows.
    let deep = format!("{{% set a = [] %}}{}", "{%set a=[a]%}".repeat(9_000));
    for end in ["{{ a }}", "{{ a|tojson }}", "{{ a|string }}", "{{ [a]|join }}"] {
        assert!(outcome(&format!("{deep}{end}")).is_err(), "{end}");
    }
    for end in ["{{ (a ~ '')|length }}", "{{ a == [a] }}", "{{ [a]|sort }}", "{{ a in [a] }}"] {
        assert!(outcome(&format!("{deep}{end}")).is_err(), "{end}");
    }
    assert!(outcome(&format!("{deep}ok")).is_ok());
}

#[test]
fn template_that_ends_within_a_tag_is_refused() {
    for source in ["{% with a = 2, ", "{% with a = 2, b", "{% for x in 1, ", "{{ 1, ", "{% set a, "]
    {
        let error = outcome(source).unwrap_err();
        assert!(error.starts_with("the chat template is broken"), "{source}: {error}");
        assert!(!error.contains("panicked"), "{source}: {error}");
    }
}

#[test]
fn ordinary_values_in_namespaces_stay_unchanged() {
    let source = "{%- set ns = namespace(all=[], first=true, last={}) -%}\
                  {%- for m in messages -%}{%- set ns.all = ns.all + [m] -%}\
                  {%- set ns.first = m.role == 'system' and ns.first -%}\
                  {%- set ns.last = {'m': m, 'n': [1, 2]} -%}{%- endfor -%}\
                  {{ ns.all|length }} {{ ns.first }} {{ ns.last.m.role }} {{ ns.last.n|tojson }}\
                  {{- ' ' ~ ns.all|map(attribute='role')|join('+') }} {{ 'a-b'.replace('-', '+') }}\
                  {{- ' {:>4}{}'.format(1, 'x') }}{% set ns.text %}[{{ ns.first }}]{% endset %}\
                  {{- ns.text }}";
    let text = outcome(source).unwrap();
    assert_eq!(text, "2 False user [1, 2] system+user a+b    1x[False]");
}

#[test]
fn compiling_that_misses_the_deadline_is_an_error() {
    let (release, held) = mpsc::sync_channel::<()>(0);
    let missed = run_until(Duration::from_millis(1), move || held.recv().is_ok());
    let error = missed.unwrap_err();
    assert!(error.contains("takes more than"), "{error}");
    drop(release);
}

#[test]
fn rendering_ends_when_its_request_is_cancelled() {
    let cancel = CancelFlag::default();
    cancel.set();
    let limit = PromptLimit::new(cancel, Duration::MAX, "messages");
    let conversation = TemplateConversation::from(short());
    let template = template("{{ messages[0].content }}");
    let error = template.render_within(&conversation, &limit).unwrap_err();
    assert!(error.contains("cancelled"), "{error}");
}
