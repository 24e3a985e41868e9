//! One table of answers for each family, and the ways in which calls break.

use crate::domain::{AnswerStart, AnswerStyle, ThinkingStyle, ToolCallStyle};

use super::{
    AnswerEvent, AnswerParser, allowed, calls, events, reasoning, style, text, with_tools,
};

/// Asserts that each answer becomes the calls beside it, and nothing else.
fn assert_calls(style: ToolCallStyle, table: &[(&str, &[(&str, &str)])]) {
    for (answer, expected) in table {
        assert_eq!(with_tools(style, answer), calls(expected), "{answer}");
    }
}

const LYON: (&str, &str) = ("weather", r#"{"city": "Lyon"}"#);
const BONN: (&str, &str) = ("weather", r#"{"city": "Bonn"}"#);

#[test]
fn hermes_calls_are_read() {
    let table: &[(&str, &[(&str, &str)])] = &[
        (
            "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Lyon\"}}\n</tool_call>",
            &[LYON],
        ),
        (
            "<tool_call>{\"arguments\": {\"city\": \"Lyon\"}, \"name\": \"weather\"}</tool_call>\n\
             <tool_call>{\"name\": \"weather\", \"arguments\": {\"city\": \"Bonn\"}}</tool_call>",
            &[LYON, BONN],
        ),
        (
            "<tool_call>[{\"name\":\"weather\",\"arguments\":{\"city\": \"Lyon\"}},\
             {\"name\":\"weather\",\"arguments\":{\"city\": \"Bonn\"}}]</tool_call>",
            &[LYON, BONN],
        ),
        // The end mark is missing, and the last brace.
        ("<tool_call>{\"name\": \"weather\", \"arguments\": {\"city\": \"Lyon\"}}", &[LYON]),
        ("<tool_call>{\"name\": \"weather\", \"arguments\": {\"city\": \"Lyon\"}", &[LYON]),
        ("<tool_call>{\"name\": \"now\"}</tool_call>", &[("now", "{}")]),
        ("<tool_call>{\"name\": \"now\", \"arguments\": null}</tool_call>", &[("now", "{}")]),
        (
            r#"<tool_call>{"name": "f", "id": 12, "arguments": "{\"a\": 1}"}</tool_call>"#,
            &[("f", r#"{"a": 1}"#)],
        ),
        (
            r#"<tool_call>{"type": "function", "function": {"name": "f", "arguments": {"a":[1.5e3,true]}}}</tool_call>"#,
            &[("f", r#"{"a":[1.5e3,true]}"#)],
        ),
        // A line break in a string, which JSON does not allow.
        (
            "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"1\n2\"}}</tool_call>",
            &[("f", r#"{"a": "1\n2"}"#)],
        ),
        // Qwen 3 Coder, whose template may look like that of Hermes.
        ("<tool_call><function=now></function></tool_call>", &[("now", "{}")]),
        // Marks in arguments are arguments.
        (
            r#"<tool_call>{"name": "f", "arguments": {"a": "<think></tool_call>"}}</tool_call>"#,
            &[("f", r#"{"a": "<think></tool_call>"}"#)],
        ),
    ];
    assert_calls(ToolCallStyle::Hermes, table);
    assert_calls(ToolCallStyle::Unknown, table);
}

#[test]
fn qwen_xml_calls_are_read() {
    assert_calls(
        ToolCallStyle::QwenXml,
        &[
            (
                "<tool_call>\n<function=write>\n<parameter=path>\na.txt\n</parameter>\n\
                 <parameter=text>\nOne \"line\"\n\nand another\n</parameter>\n\
                 <parameter=lines>\n[1, 2]\n</parameter>\n</function>\n</tool_call>",
                &[(
                    "write",
                    r#"{"path": "a.txt", "text": "One \"line\"\n\nand another", "lines": [1, 2]}"#,
                )],
            ),
            // Without the outer mark, twice.
            (
                "<function=now></function>\n<function=now>\n</function>",
                &[("now", "{}"), ("now", "{}")],
            ),
            // A value with end tags.
            (
                "<tool_call><function=write><parameter=text></function></parameter> \
                 </tool_call></parameter></function></tool_call>",
                &[("write", r#"{"text": "</function></parameter> </tool_call>"}"#)],
            ),
            (
                "<tool_call>{\"name\": \"weather\", \"arguments\": {\"city\": \"Lyon\"}}</tool_call>",
                &[LYON],
            ),
        ],
    );
}

#[test]
fn llama_calls_are_read() {
    assert_calls(
        ToolCallStyle::LlamaJson,
        &[
            (r#"{"name": "weather", "parameters": {"city": "Lyon"}}"#, &[LYON]),
            (r#"<|python_tag|>{"name": "weather", "parameters": {"city": "Lyon"}}"#, &[LYON]),
            (
                r#"{"type": "function", "name": "weather", "parameters": {"city": "Lyon"}}; {"name": "weather", "parameters": {"city": "Bonn"}};"#,
                &[LYON, BONN],
            ),
            (
                "{\"name\": \"weather\", \"arguments\": {\"city\": \"Lyon\"}}\n\
                 {\"name\": \"weather\", \"arguments\": {\"city\": \"Bonn\"}}",
                &[LYON, BONN],
            ),
        ],
    );
}

#[test]
fn json_of_llama_that_is_no_call_is_text_without_a_warning() {
    for answer in [
        r#"{"name": "Ana", "age": 7}"#,
        r#"{"name": "Ana"}"#,
        r#"{"name": 7, "parameters": {}}"#,
        r#"{"parameters": [1], "name": "Ana"}"#,
        "{",
        "{}",
        r#"Send {"name": "weather", "parameters": {}}"#,
    ] {
        let found = with_tools(ToolCallStyle::LlamaJson, answer);
        let texts: String = found
            .iter()
            .map(|event| match event {
                AnswerEvent::Text(text) => text.as_str(),
                AnswerEvent::Warning(_) => "",
                other => panic!("{answer} became {other:?}"),
            })
            .collect();
        assert_eq!(texts, answer);
        let is_cut = answer == "{";
        assert_eq!(found.len() > 1, is_cut, "{found:?}");
    }
}

#[test]
fn pythonic_calls_are_read() {
    assert_calls(
        ToolCallStyle::Pythonic,
        &[
            ("[weather(city='Lyon')]", &[LYON]),
            ("[weather(city=\"Lyon\"), weather(city='Bonn',)]<|python_end|>", &[LYON, BONN]),
            ("<|python_start|>[weather(city=\"Lyon\")]<|python_end|>", &[LYON]),
            ("<|tool_call_start|>[weather(city=\"Lyon\")]<|tool_call_end|>", &[LYON]),
            (
                "[f(a=-1.5, b=True, c=None, d=[1, (2,)], e={'k': \"it's\", 'l': []}, g='\\n\\'\\d')]",
                &[(
                    "f",
                    r#"{"a": -1.5, "b": true, "c": null, "d": [1, [2]], "e": {"k": "it's", "l": []}, "g": "\n'\\d"}"#,
                )],
            ),
            ("[time.now()]", &[("time.now", "{}")]),
            ("[f(a=\"]) [\")]", &[("f", r#"{"a": "]) ["}"#)]),
        ],
    );
    for answer in ["[1, 2]", "[]", "[a](b) is a link", "see [f(a=1)]"] {
        let found = with_tools(ToolCallStyle::Pythonic, answer);
        assert_eq!(found.last(), Some(&text(answer)), "{found:?}");
    }
}

#[test]
fn mistral_calls_are_read() {
    assert_calls(
        ToolCallStyle::Mistral,
        &[
            (
                r#"[TOOL_CALLS] [{"name": "weather", "arguments": {"city": "Lyon"}, "id": "a1B2c3D4e"}, {"name": "weather", "arguments": {"city": "Bonn"}}]"#,
                &[LYON, BONN],
            ),
            (r#"[TOOL_CALLS][{"name": "weather", "arguments": {"city": "Lyon"}}"#, &[LYON]),
            (
                r#"[TOOL_CALLS]weather[ARGS]{"city": "Lyon"}[TOOL_CALLS]weather[ARGS]{"city": "Bonn"}"#,
                &[LYON, BONN],
            ),
            (r#"[TOOL_CALLS]weather[CALL_ID]a1B2c3D4e[ARGS]{"city": "Lyon"}"#, &[LYON]),
            (r#"[TOOL_CALLS]weather{"city": "Lyon"}"#, &[LYON]),
        ],
    );
}

#[test]
fn gemma_calls_are_read() {
    assert_calls(
        ToolCallStyle::Gemma,
        &[
            ("<|tool_call>call:weather{city:<|\"|>Lyon<|\"|>}<tool_call|>", &[LYON]),
            (
                "<|tool_call>call:f{a:[1,<|\"|>\"x\"<|\"|>],b:{c:true},d:null}<tool_call|>\
                 <|tool_call>call:now{}<tool_call|>",
                &[("f", r#"{"a": [1, "\"x\""], "b": {"c": true}, "d": null}"#), ("now", "{}")],
            ),
            (
                "<|tool_call>call:f{a:<|\"|><tool_call|><|\"|>}",
                &[("f", r#"{"a": "<tool_call|>"}"#)],
            ),
            ("```tool_code\nweather(city=\"Lyon\")\nweather(city='Bonn')\n```", &[LYON, BONN]),
            ("```tool_code\nprint(weather(city=\"Lyon\"))\n```", &[LYON]),
        ],
    );
}

#[test]
fn deepseek_calls_are_read() {
    assert_calls(
        ToolCallStyle::DeepSeek,
        &[
            (
                "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n\
                 ```json\n{\"city\": \"Lyon\"}\n```<｜tool▁call▁end｜>\n\
                 <｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n\
                 ```json\n{\"city\": \"Bonn\"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
                &[LYON, BONN],
            ),
            (
                "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>weather<｜tool▁sep｜>\
                 {\"city\": \"Lyon\"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
                &[LYON],
            ),
            (
                "<｜tool▁call▁begin｜>weather<｜tool▁sep｜>{\"city\": \"Lyon\"}<｜tool▁call▁end｜>",
                &[LYON],
            ),
        ],
    );
}

#[test]
fn glm_calls_are_read() {
    assert_calls(
        ToolCallStyle::Glm,
        &[
            (
                "<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>Lyon</arg_value>\n</tool_call>",
                &[LYON],
            ),
            (
                "<tool_call>f\n<arg_key>a</arg_key>\n<arg_value>[1, 2]</arg_value>\n\
                 <arg_key>b</arg_key>\n<arg_value>1 < 2</arg_value>\n</tool_call>\n\
                 <tool_call>now\n</tool_call>",
                &[("f", r#"{"a": [1, 2], "b": "1 < 2"}"#), ("now", "{}")],
            ),
        ],
    );
}

#[test]
fn granite_calls_are_read() {
    let list = r#"[{"name": "weather", "arguments": {"city": "Lyon"}}, {"name": "weather", "arguments": {"city": "Bonn"}}]"#;
    let marked = format!("<|tool_call|>{list}");
    let one = r#"<tool_call>{"name": "weather", "arguments": {"city": "Lyon"}}</tool_call>"#;
    assert_calls(ToolCallStyle::Granite, &[(&marked, &[LYON, BONN]), (one, &[LYON])]);
}

fn harmony(answer: &str, has_tools: bool) -> Vec<AnswerEvent> {
    let style =
        AnswerStyle { thinking: Some(ThinkingStyle::Harmony), tool_calls: ToolCallStyle::Harmony };
    events(AnswerParser::new(&style, AnswerStart::default(), allowed(has_tools)), &[answer])
}

#[test]
fn harmony_messages_are_read() {
    let answer = "<|channel|>analysis<|message|>Hot or cold?<|end|><|start|>assistant\
                  <|channel|>commentary<|message|>I look it up.<|end|><|start|>assistant\
                  <|channel|>commentary to=functions.weather <|constrain|>json<|message|>\
                  {\"city\": \"Lyon\"}<|call|>";
    let expected =
        [vec![reasoning("Hot or cold?"), text("I look it up.")], calls(&[LYON])].concat();
    assert_eq!(harmony(answer, true), expected);
    let answer = "<|channel|>analysis<|message|>A sum.<|end|><|start|>assistant\
                  <|channel|>final<|message|>Four.<|return|>";
    assert_eq!(harmony(answer, false), [reasoning("A sum."), text("Four.")]);
    let answer = " to=functions.now<|channel|>commentary json<|message|><|call|>";
    assert_eq!(harmony(answer, true), calls(&[("now", "{}")]));
    assert_eq!(harmony("Four, to be exact.", true), [text("Four, to be exact.")]);
}

#[test]
fn harmony_calls_without_tools_are_text() {
    let call = "<|channel|>commentary to=functions.f<|message|>{}";
    assert_eq!(harmony(&format!("{call}<|call|>"), false), [text(call)]);
}

#[test]
fn broken_harmony_call_is_text_with_a_warning() {
    for arguments in ["{\"a\": x}", "no JSON", "{\"a\""] {
        let answer = format!("<|channel|>commentary to=functions.f<|message|>{arguments}");
        let found = harmony(&answer, true);
        assert!(matches!(&found[0], AnswerEvent::Warning(_)), "{found:?}");
        assert_eq!(found[1..], [text(&answer)]);
    }
}

#[test]
fn thinking_is_told_apart() {
    let think = |answer: &str, is_thinking| {
        let style = style(ToolCallStyle::Hermes);
        events(AnswerParser::new(&style, AnswerStart { is_thinking }, allowed(true)), &[answer])
    };
    // The prompt ends within the thinking, and the model may repeat the mark.
    for answer in ["\nA greeting.\n</think>\n\nHi!", "<think>A greeting.\n</think>Hi!"] {
        assert_eq!(think(answer, true), [reasoning("A greeting.\n"), text("Hi!")], "{answer}");
    }
    // The thinking begins in the answer, twice.
    let found = think("<think>\nOne.</think>\n\nTwo. <think>Three.</think>\nFour.", false);
    let expected = [reasoning("One."), text("Two. "), reasoning("Three."), text("Four.")];
    assert_eq!(found, expected);
    // Nothing was thought, or nothing but that.
    assert_eq!(think("<think>\n\n</think>\n\nHi!", false), [text("Hi!")]);
    assert_eq!(think("Hm", true), [reasoning("Hm")]);
    assert_eq!(think("a </think> b", false), [text("a </think> b")]);
    assert_eq!(think("a<think>b<think>c</think>d", false)[1], reasoning("b<think>c"));
    let found = think("So.</think>\n\n<tool_call>{\"name\": \"now\"}</tool_call>\n", true);
    assert_eq!(found, [vec![reasoning("So.")], calls(&[("now", "{}")])].concat());
}

#[test]
fn text_around_calls_stays_with_its_space() {
    let call = r#"<tool_call>{"name": "now"}</tool_call>"#;
    let found = with_tools(ToolCallStyle::Hermes, &format!("I look.\n{call}\n\nDone. {call}"));
    let now = calls(&[("now", "{}")]);
    assert_eq!(
        found,
        [vec![text("I look.\n")], now.clone(), vec![text("\n\nDone. ")], now].concat()
    );
}

#[test]
fn calls_without_tools_in_the_request_are_text() {
    let answer = r#"<tool_call>{"name": "now"}</tool_call> {"name": "f", "parameters": {}}"#;
    for tool_calls in [ToolCallStyle::Hermes, ToolCallStyle::LlamaJson, ToolCallStyle::Harmony] {
        let style = style(tool_calls);
        let parser = AnswerParser::new(&style, AnswerStart::default(), allowed(false));
        assert_eq!(events(parser, &[answer]), [text(answer)]);
    }
}
