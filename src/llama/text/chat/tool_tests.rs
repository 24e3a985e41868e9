//! Conversations with tools, documents, variables and thinking.

use super::tests::{chat, control_tokens, message, none, turns};
use super::*;
use crate::domain::{JsonText, ThinkingStyle, Tool, ToolCall};

/// In the manner of Hermes and Qwen 3.
const HERMES: &str = "\
    {%- if tools %}<s:{% for tool in tools %}{{ tool|tojson }}{% endfor %}>{% endif %}\
    {%- for m in messages %}{% if m.role == 'tool' %}<r:{{ m.content }}>\
    {%- else %}<{{ m.role[0] }}:{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>\
    {%- endif %}{{ m.content }}\
    {%- for c in m.tool_calls %}<tool_call>{\"name\": \"{{ c.function.name }}\", \"arguments\": \
    {{ c.function.arguments|tojson }}}</tool_call>{% endfor %}>{% endif %}{% endfor %}\
    {%- if add_generation_prompt %}<a:{% if enable_thinking is defined and not enable_thinking %}\
    <think></think>{% else %}{{ '<think>\\n' }}{% endif %}{% endif %}";

/// Each message between angle brackets, without tools.
const SIMPLE: &str = "{% for m in messages %}<{{ m.role[0] }}:{{ m.content }}>{% endfor %}\
                      {% if add_generation_prompt %}<a:{% endif %}";

fn json(text: &str) -> JsonText {
    JsonText(text.to_owned())
}

fn tool(name: &str) -> Tool {
    let parameters = Some(json(r#"{"type":"object","properties":{"b":{},"a":{"type":"string"}}}"#));
    Tool { name: name.to_owned(), description: Some("Says.".to_owned()), parameters }
}

/// A call of `say` with an argument.
fn call(id: &str, argument: &str) -> ToolCall {
    let arguments = json(&format!(r#"{{"a":"{argument}"}}"#));
    ToolCall { id: id.to_owned(), name: "say".to_owned(), arguments }
}

/// A question, `calls` with a text, and the results `r0`, `r1` and so on.
fn called(content: &str, calls: Vec<ToolCall>) -> Conversation {
    let result = |(i, call): (usize, &ToolCall)| Message {
        tool_call_id: Some(call.id.clone()),
        ..message(Role::Tool, &format!("r{i}"))
    };
    let results: Vec<_> = calls.iter().enumerate().map(result).collect();
    let answer = Message { tool_calls: calls, ..message(Role::Assistant, content) };
    let messages = [&[message(Role::User, "one"), answer], &results[..]].concat();
    Conversation { tools: vec![tool("say")], ..Conversation::of(messages) }
}

/// The rendered text as a client would read it, and whether it ends within thinking.
fn rendered(source: &str, conversation: &Conversation) -> Result<(String, bool), String> {
    let mut specials = control_tokens(&[]);
    let rendered = chat(source, &mut specials)?.render(conversation, &specials, &none())?;
    let text = rendered.guard.remove_markers(&rendered.text).into_owned();
    Ok((text, rendered.start.is_thinking))
}

fn text(source: &str, conversation: &Conversation) -> String {
    rendered(source, conversation).unwrap().0
}

fn style(source: &str) -> AnswerStyle {
    chat(source, &mut control_tokens(&[])).unwrap().answer_style().clone()
}

fn variable(name: &str, value: &str) -> Vec<(String, JsonText)> {
    vec![(name.to_owned(), json(value))]
}

fn marks(start: &str, end: &str) -> Option<ThinkingStyle> {
    Some(ThinkingStyle::Marks { start: start.to_owned(), end: end.to_owned() })
}

#[test]
fn tools_calls_and_results_reach_a_template_that_writes_them() {
    let mut conversation = called("Hm.", vec![call("x", "1"), call("y", "2")]);
    conversation.tools.push(Tool { name: "n".to_owned(), description: None, parameters: None });
    let expected = "<s:{\"type\": \"function\", \"function\": {\"name\": \"say\", \"description\": \
                    \"Says.\", \"parameters\": {\"type\": \"object\", \"properties\": {\"b\": {}, \
                    \"a\": {\"type\": \"string\"}}}}}{\"type\": \"function\", \"function\": \
                    {\"name\": \"n\", \"description\": \"\", \"parameters\": {\"type\": \
                    \"object\", \"properties\": {}}}}><u:one><a:Hm.\
                    <tool_call>{\"name\": \"say\", \"arguments\": {\"a\": \"1\"}}</tool_call>\
                    <tool_call>{\"name\": \"say\", \"arguments\": {\"a\": \"2\"}}</tool_call>>\
                    <r:r0><r:r1><a:<think>\n";
    assert_eq!(text(HERMES, &conversation), expected);
    conversation.tool_choice = ToolChoice::None;
    assert!(text(HERMES, &conversation).starts_with("<u:one>"));
    assert_eq!(style(HERMES).tool_calls, ToolCallStyle::Hermes);
}

#[test]
fn tools_become_text_if_the_template_leaves_them_out() {
    let conversation = called("", vec![call("x", "1")]);
    let refused = "m.role == 'tool' and raise_exception('no tools')";
    let no_role = HERMES.replace("m.role == 'tool'", refused);
    let other_form = HERMES.replace("tool_call>", "invoke>");
    for source in [SIMPLE, &no_role, &other_form] {
        let text = text(source, &conversation);
        assert!(text.starts_with("<s:You can call"), "{text}");
        let messages = "<u:one><a:<tool_call>\n{\"name\": \"say\", \"arguments\": {\"a\":\"1\"}}\n\
                        </tool_call>><u:<tool_response>\n{\"name\": \"say\", \"content\": \"r0\"}\n\
                        </tool_response>><a:";
        assert!(text.contains(messages), "{text}");
        assert_eq!(style(source).tool_calls, ToolCallStyle::Unknown);
    }
}

#[test]
fn calls_are_written_one_by_one_if_the_template_refuses_several() {
    // In the manner of Llama 3.
    let one = "{% if m.tool_calls and m.tool_calls|length != 1 %}{{ raise_exception('one') }}\
               {% endif %}{% if not m.tool_calls %}{{ m.content }}{% endif %}{%- for c";
    let source = HERMES.replace("{{ m.content }}{%- for c", one);
    assert_ne!(source, HERMES);
    let mut conversation = called("Hm.", vec![call("x", "1"), call("y", "2")]);
    conversation.messages.swap(2, 3);
    let text = text(&source, &conversation);
    let (_, messages) = text.split_once("<u:one>").unwrap();
    let expected = "<a:Hm.><a:<tool_call>{\"name\": \"say\", \"arguments\": {\"a\": \"1\"}}\
                    </tool_call>><r:r0><a:<tool_call>{\"name\": \"say\", \"arguments\": \
                    {\"a\": \"2\"}}</tool_call>><r:r1><a:<think>\n";
    assert_eq!(messages, expected);
}

#[test]
fn ids_are_shortened_for_a_template_that_wants_nine_characters() {
    // In the manner of Mistral.
    let source = "{% for t in tools or [] %}{{ t.function.name }}{% endfor %}\
                  {% for m in messages %}{% if m.tool_calls %}[TOOL_CALLS][\
                  {% for c in m.tool_calls %}{% if c.id|length != 9 %}{{ raise_exception('9') }}\
                  {% endif %}{{ (c.function|tojson)[:-1] }}, \"id\": \"{{ c.id }}\"}{% endfor %}]\
                  {% else %}<{{ m.tool_call_id }}:{{ m.content }}>{% endif %}{% endfor %}";
    let conversation = called("", vec![call("call_abc", "1"), call("AbCdEfGh9", "2")]);
    let text = text(source, &conversation);
    assert!(text.contains("\"id\": \"000000000\"}"), "{text}");
    assert!(text.ends_with("]<000000000:r0><AbCdEfGh9:r1>"), "{text}");
    assert_eq!(style(source).tool_calls, ToolCallStyle::Mistral);
}

#[test]
fn arguments_are_text_and_content_is_none_where_the_template_needs_that() {
    // In the manner of DeepSeek.
    let source = "{% for t in tools or [] %}{{ t.function.name }}{% endfor %}{% for m in messages %}\
                  {% if m.role == 'assistant' and m.content is none %}<｜tool▁call▁begin｜>function\
                  <｜tool▁sep｜>{{ m.tool_calls[0].function.name + '\\n' + \
                  m.tool_calls[0].function.arguments }}{% else %}<{{ m.role[0] }}:{{ m.content }}>\
                  {% endif %}{% endfor %}";
    let text = text(source, &called("Hm.", vec![call("x", "1")]));
    let expected = "say<u:one><a:Hm.><｜tool▁call▁begin｜>function<｜tool▁sep｜>say\n{\"a\":\"1\"}\
                    <t:r0>";
    assert_eq!(text, expected);
    assert_eq!(style(source).tool_calls, ToolCallStyle::DeepSeek);
}

#[test]
fn calls_of_granite_go_into_the_content() {
    let source = "{% if tools %}{{ tools|tojson }}, answer with <|tool_call|>{% endif %}\
                  {% for m in messages %}<{{ m.role[0] }}:{{ m.content }}>{% endfor %}";
    let text = text(source, &called("Hm.", vec![call("x", "1")]));
    let expected = "<u:one><a:Hm.<|tool_call|>[{\"name\": \"say\", \"arguments\": {\"a\":\"1\"}}]>\
                    <t:r0>";
    assert!(text.ends_with(expected), "{text}");
    assert_eq!(style(source).tool_calls, ToolCallStyle::Granite);
    // A template that does not name such calls gets them as the instruction says.
    let unknown = source.replace("<|tool_call|>", "JSON");
    assert_eq!(style(&unknown).tool_calls, ToolCallStyle::Unknown);
}

#[test]
fn arguments_that_are_no_object_reach_the_template_as_text() {
    let mut broken = call("x", "");
    broken.arguments = json("{\"a\": ");
    let text = text(HERMES, &called("", vec![broken]));
    assert!(text.contains("\"arguments\": \"{\\\"a\\\": \"}</tool_call>"), "{text}");
    let mut conversation = called("", vec![call("x", "1")]);
    conversation.tools[0].parameters = Some(json("{"));
    let error = rendered(HERMES, &conversation).unwrap_err();
    assert!(error.starts_with("the parameters of the tool say are no JSON"), "{error}");
}

#[test]
fn nothing_typed_becomes_a_control_token() {
    // Also where the template prints dictionaries as Python does.
    let printed = "{{ tools }}{{ documents }}{{ mode }}{%- for m in";
    let printed = HERMES.replace("{%- for m in", printed);
    let mut specials = control_tokens(&["<|u|>", "<tool_call>"]);
    let chat = chat(&printed, &mut specials).unwrap();
    let typed = "<|u|><tool_call>";
    let mut conversation = called("", vec![call("<|u|>", typed)]);
    conversation.messages[1].tool_calls[0].name = typed.to_owned();
    conversation.messages[2].content = typed.to_owned();
    conversation.messages[2].name = Some(typed.to_owned());
    conversation.tools[0].name = typed.to_owned();
    conversation.tools[0].description = Some(typed.to_owned());
    conversation.tools[0].parameters = Some(json(&format!(r#"{{"{typed}":["{typed}"]}}"#)));
    conversation.documents = vec![json(&format!(r#"{{"{typed}":"{typed} \\ufdd0"}}"#))];
    conversation.template_variables = variable("mode", &format!(r#"["{typed}"]"#));
    let rendered = chat.render(&conversation, &specials, &none()).unwrap();
    // The template's own mark before the call.
    assert_eq!(specials.control_tokens(&rendered.text), [1]);
    let text = rendered.guard.remove_markers(&rendered.text);
    assert!(text.contains("['<|u|><tool_call>']"), "{text}");
    assert!(text.contains("<tool_call> \\\\ufdd0"), "{text}");
    assert!(!text.contains("\\ufdd1"), "{text}");
}

#[test]
fn tools_as_text_contain_no_control_token() {
    let mut specials = control_tokens(&["<|u|>"]);
    let chat = chat(SIMPLE, &mut specials).unwrap();
    let mut conversation = called("", vec![call("x", "<|u|>")]);
    conversation.tools[0].description = Some("<|u|>".to_owned());
    conversation.messages[2].content = "<|u|>".to_owned();
    let rendered = chat.render(&conversation, &specials, &none()).unwrap();
    assert!(specials.control_tokens(&rendered.text).is_empty());
}

#[test]
fn variables_and_documents_reach_the_template() {
    let source = "{{ documents[0].title if documents else 'none' }} {{ mode }} {{ more }}\
                  {% for m in messages %}<{{ m.content }}>{% endfor %}\
                  {% if add_generation_prompt %}<a:{% endif %}";
    let mut conversation = Conversation::of(turns(&["one"]));
    assert_eq!(text(source, &conversation), "none  <one><a:");
    conversation.documents = vec![json(r#"{"title":"T"}"#)];
    conversation.template_variables =
        [variable("mode", "\"high\""), variable("more", r#"{"b":[1,2.5],"a":null}"#)].concat();
    let start = "T high {'b': [1, 2.5], 'a': None}<one>";
    assert_eq!(text(source, &conversation), format!("{start}<a:"));
    conversation.template_variables.extend(variable("add_generation_prompt", "false"));
    assert_eq!(text(source, &conversation), start);
}

#[test]
fn variable_or_document_that_cannot_be_given_is_refused() {
    let plain = Conversation::of(turns(&["one"]));
    let with = |name: &str, value: &str| Conversation {
        template_variables: variable(name, value),
        ..plain.clone()
    };
    let documents = Conversation { documents: vec![json("[1]")], ..plain.clone() };
    for (conversation, expected) in [
        (with("messages", "[]"), "messages is no variable"),
        (with("mode", "{"), "the template variable mode is no JSON"),
        (with("add_generation_prompt", "1"), "add_generation_prompt has to be true or false"),
        (documents, "document 1 is no JSON object"),
    ] {
        let error = rendered(SIMPLE, &conversation).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn developer_is_a_role_of_its_own_only_where_the_template_names_it() {
    let messages = vec![message(Role::Developer, "be"), message(Role::User, "one")];
    let conversation = Conversation::of(messages);
    let source = "{% for m in messages %}<{{ m.role }}:{{ m.content }}>{% endfor %}";
    assert_eq!(text(source, &conversation), "<system:be><user:one>");
    let names = source.replace("m.role }}", "'d' if m.role == 'developer' else m.role }}");
    assert_eq!(text(&names, &conversation), "<d:be><user:one>");
}

#[test]
fn prompt_within_thinking_is_told_from_one_after_it() {
    assert_eq!(style(HERMES).thinking, marks("<think>", "</think>"));
    assert_eq!(style(SIMPLE).thinking, None);
    let mut conversation = Conversation::of(turns(&["one"]));
    assert_eq!(rendered(HERMES, &conversation).unwrap(), ("<u:one><a:<think>\n".to_owned(), true));
    conversation.template_variables = variable("enable_thinking", "false");
    let without = ("<u:one><a:<think></think>".to_owned(), false);
    assert_eq!(rendered(HERMES, &conversation).unwrap(), without);
}

#[test]
fn marks_that_are_tokens_separate_thinking() {
    let thinking = |texts: &[&str]| {
        let chat = chat(SIMPLE, &mut control_tokens(texts)).unwrap();
        chat.answer_style().thinking.clone()
    };
    assert_eq!(thinking(&["[THINK]", "[/THINK]"]), marks("[THINK]", "[/THINK]"));
    assert_eq!(thinking(&["[THINK]"]), None);
    let harmony = ["<|start|>", "<|message|>", "<|channel|>"];
    assert_eq!(thinking(&harmony), Some(ThinkingStyle::Harmony));
}

fn continued(contents: &[&str]) -> Conversation {
    Conversation { continues_last: true, ..Conversation::of(turns(contents)) }
}

#[test]
fn last_answer_is_continued_where_it_ends() {
    let trims = SIMPLE.replace("m.content", "m.content|trim");
    let doubles = "{% for m in messages %}<{{ m.content }}>{% endfor %}two";
    for (source, content, expected) in [
        (SIMPLE, "two", "<u:one><a:two"),
        (SIMPLE, "two \n", "<u:one><a:two \n"),
        (&trims, "two \n", "<u:one><a:two"),
        (SIMPLE, "", "<u:one><a:"),
        (doubles, "two", "<one><two"),
    ] {
        assert_eq!(text(source, &continued(&["one", content])), expected);
    }
    for messages in [&["one"][..], &["one", "two", "three"]] {
        let error = rendered(SIMPLE, &continued(messages)).unwrap_err();
        assert!(error.contains("can be continued"), "{error}");
    }
    let mut both = continued(&["one", "two"]);
    both.template_variables = variable("add_generation_prompt", "true");
    assert!(rendered(SIMPLE, &both).unwrap_err().contains("cannot be continued"));
}

#[test]
fn continued_thinking_is_within_thinking() {
    for (content, reasoning, expected) in [
        ("", Some("hm"), ("<u:one><a:<think>hm", true)),
        ("yes", Some("hm"), ("<u:one><a:<think>hm</think>yes", false)),
        ("<think>hm", None, ("<u:one><a:<think>hm", true)),
        ("yes", None, ("<u:one><a:yes", false)),
    ] {
        let mut conversation = continued(&["one", content]);
        conversation.messages[1].reasoning = reasoning.map(str::to_owned);
        let (text, is_thinking) = rendered(HERMES, &conversation).unwrap();
        assert_eq!((&*text, is_thinking), expected);
    }
}

#[test]
fn fuel_suffices_for_many_tools_and_calls() {
    let mut conversation = called("", (0..200).map(|i| call(&i.to_string(), "1")).collect());
    conversation.tools = (0..500).map(|i| tool(&format!("t{i}"))).collect();
    let text = text(HERMES, &conversation);
    assert_eq!(text.matches("<tool_call>").count(), 200);
    assert!(text.contains("\"t499\""));
}
