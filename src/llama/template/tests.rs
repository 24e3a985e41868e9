//! Templates in the manner of the model families.

use super::*;

fn template(source: &str) -> ChatTemplate {
    ChatTemplate::new(source.to_owned(), "<s>".to_owned(), "</s>".to_owned()).unwrap()
}

fn short() -> [(Role, Cow<'static, str>); 2] {
    [(Role::System, "Be kind.".into()), (Role::User, "  ¿Qué tal? 🦊 ".into())]
}

#[test]
fn blocks_are_trimmed_as_models_expect_it() {
    // The manner of ChatML: blocks on lines of their own, indented.
    let source = "{% for message in messages %}\n    {% if message['role'] == 'system' %}\n\
                  <|im_start|>system {{ message.content }}<|im_end|>\n    {% else %}\n\
                  <|im_start|>{{ message['role'] + ' ' + message['content'] | trim }}<|im_end|>\n\
                  \x20   {% endif %}\n{% endfor %}\n\
                  {% if add_generation_prompt %}\n<|im_start|>assistant\n{% endif %}";
    let expected = "<|im_start|>system Be kind.<|im_end|>\n<|im_start|>user ¿Qué tal? 🦊<|im_end|>\n\
                    <|im_start|>assistant\n";
    assert_eq!(template(source).render(&short()).unwrap(), expected);
}

#[test]
fn pythons_string_methods_slices_and_namespaces_work() {
    // The manner of Llama 3 and DeepSeek: state in a namespace, slices, methods, `is defined`.
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
    let text = template(source).render(&short()).unwrap();
    assert_eq!(text, "<s>BE KIND.|26 Jul 2024|0:¿Qué tal|1</s>");
}

#[test]
fn what_a_template_refuses_is_said_in_its_own_words() {
    // The manner of Gemma and Mistral, which know no system role.
    let source = "{{ bos_token }}{% if messages[0]['role'] == 'system' %}\
                  {{ raise_exception('System role not supported') }}{% endif %}ok";
    let error = template(source).render(&short()).unwrap_err();
    assert!(error.contains("System role not supported"), "{error}");
    let one_line = !error.contains('\n');
    assert!(one_line, "{error}");
    assert_eq!(template(source).render(&[(Role::User, "x".into())]).unwrap(), "<s>ok");
}

#[test]
fn a_template_that_is_no_jinja_is_an_error() {
    let broken = ChatTemplate::new("{% for %}".to_owned(), String::new(), String::new());
    assert!(broken.is_err());
}

#[test]
fn a_template_that_does_not_end_runs_out_of_fuel() {
    let source = "{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}";
    assert!(template(source).render(&short()).is_err());
}

#[test]
fn a_template_that_writes_without_end_is_stopped() {
    let source = "{% for a in range(90000) %}{{ messages[0].content }}{% endfor %}";
    let long = "x".repeat(10_000);
    let error = template(source).render(&[(Role::User, long.into())]).unwrap_err();
    assert!(!error.is_empty());
}

#[test]
fn a_template_sees_nothing_but_its_variables() {
    for source in ["{% include 'other' %}", "{{ cycler.__init__ }}", "{{ undefined_function() }}"] {
        let ends_well = template(source).render(&short()).is_ok_and(|text| !text.is_empty());
        assert!(!ends_well, "{source}");
    }
}
