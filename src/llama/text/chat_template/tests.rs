//! Templates in the style of several model families, and hostile templates.

use super::*;
use crate::domain::Role;

fn template(source: &str) -> ChatTemplate {
    ChatTemplate::new(source.to_owned(), "<s>".to_owned(), "</s>".to_owned()).unwrap()
}

fn message(role: Role, content: &str) -> TemplateMessage {
    TemplateMessage { role, content: TemplateContent::Text(content.to_owned()), reasoning: None }
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
    let one_line = !error.contains('\n');
    assert!(one_line, "{error}");
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

#[test]
fn template_with_an_endless_loop_runs_out_of_fuel() {
    let source = "{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}";
    assert!(template(source).render(short()).is_err());
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
        assert!(error.starts_with("the model's chat template refuses this"), "{source}: {error}");
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
fn template_that_misses_the_deadline_blocks_later_renderings() {
    let doubled = |name: &str| {
        let double = |i: usize| format!("{{% set {name}{i} = [{name}{0}, {name}{0}] %}}", i - 1);
        format!("{{% set {name}0 = [1] %}}{}", (1..60).map(double).collect::<String>())
    };
    let source = format!("{}{}{{{{ a59 == b59 }}}}", doubled("a"), doubled("b"));
    let mut template = template(&source);
    template.runner = DeadlineRunner::new(Duration::from_millis(50));
    let error = template.render(short()).unwrap_err();
    assert!(error.contains("takes more than"), "{error}");
    // Nothing else is started while the first rendering runs.
    let error = template.render(short()).unwrap_err();
    assert!(error.contains("still busy"), "{error}");
}
