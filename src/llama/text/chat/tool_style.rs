//! How a template writes a call of a tool, judged by what it has written.

use crate::domain::ToolCallStyle;

/// The form of a call of [`CALLED`] with the argument [`ARGUMENT`] and its [`VALUE`] in a rendered
/// text; `None` if answers in this form cannot be read.
pub(super) fn style_of(written: &str) -> Option<ToolCallStyle> {
    let text: String = written.chars().filter(|c| !c.is_whitespace()).collect();
    let has = |part: &str| text.contains(part);
    let named = |before: &str| has(&format!("{before}{CALLED}"));
    let json = |before: &str, arguments: &str| {
        has(&format!("{before}{{\"name\":\"{CALLED}\",\"{arguments}\":"))
            || has(&format!("{before}{{\"{arguments}\":"))
    };
    let found = [
        (ToolCallStyle::Harmony, named("to=functions.") && has("<|message|>")),
        (ToolCallStyle::Gemma, named("<|tool_call>call:")),
        (
            ToolCallStyle::Mistral,
            named("[TOOL_CALLS]") && has("[ARGS]{") || json("[TOOL_CALLS][", "arguments"),
        ),
        (
            ToolCallStyle::DeepSeek,
            named("<｜tool▁call▁begin｜>function<｜tool▁sep｜>")
                || named("<｜tool▁call▁begin｜>") && has("<｜tool▁sep｜>{"),
        ),
        (ToolCallStyle::Glm, named("<tool_call>") && has(&format!("<arg_key>{ARGUMENT}"))),
        (
            ToolCallStyle::QwenXml,
            named("<tool_call><function=") && has(&format!("<parameter={ARGUMENT}>")),
        ),
        (ToolCallStyle::Hermes, json("<tool_call>", "arguments")),
        (ToolCallStyle::Granite, json("<|tool_call|>[", "arguments") && !has("<|/tool_call|>")),
        (ToolCallStyle::Pythonic, has(&format!("[{CALLED}({ARGUMENT}="))),
        (
            ToolCallStyle::LlamaJson,
            text.split_once(&format!("{{\"name\":\"{CALLED}\",\"parameters\":{{"))
                .is_some_and(|(before, _)| before.ends_with(['>', ':'])),
        ),
    ];
    found.into_iter().find(|(_, is_found)| *is_found).map(|(style, _)| style)
}

// Words that no template contains.
/// The name of the called tool.
pub(super) const CALLED: &str = "qcalledzx";
/// The name of its argument.
pub(super) const ARGUMENT: &str = "qargumentzx";
/// The value of the argument.
pub(super) const VALUE: &str = "qvaluezx";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_of_a_family_has_its_style() {
        let arguments = format!("{{\"{ARGUMENT}\": \"{VALUE}\"}}");
        for (written, style) in [
            ("<tool_call>\n{\"name\": \"NAME\", \"arguments\": OBJECT}\n</tool_call>", "Hermes"),
            ("<tool_call>\n{\"arguments\": OBJECT, \"name\": \"NAME\"}\n</tool_call>", "Hermes"),
            (
                "<tool_call>\n<function=NAME>\n<parameter=qargumentzx>\nqvaluezx\n</parameter>\n\
                 </function>\n</tool_call>",
                "QwenXml",
            ),
            ("<|e|>\n\n{\"name\": \"NAME\", \"parameters\": OBJECT}<|eot_id|>", "LlamaJson"),
            ("<|python_tag|>{\"name\": \"NAME\", \"parameters\": OBJECT}", "LlamaJson"),
            ("<|tool_call_start|>[NAME(qargumentzx=\"qvaluezx\")]<|tool_call_end|>", "Pythonic"),
            (
                "[TOOL_CALLS] [{\"name\": \"NAME\", \"arguments\": OBJECT, \"id\": \"000000000\"}]",
                "Mistral",
            ),
            ("[TOOL_CALLS]NAME[ARGS]OBJECT</s>", "Mistral"),
            ("<|tool_call>call:NAME{qargumentzx:<|\"|>qvaluezx<|\"|>}<tool_call|>", "Gemma"),
            (
                "<|start|>assistant to=functions.NAME<|channel|>commentary json<|message|>OBJECT<|call|>",
                "Harmony",
            ),
            (
                "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME\n```json\nOBJECT",
                "DeepSeek",
            ),
            ("<｜tool▁call▁begin｜>NAME<｜tool▁sep｜>OBJECT<｜tool▁call▁end｜>", "DeepSeek"),
            (
                "<tool_call>NAME\n<arg_key>qargumentzx</arg_key>\n<arg_value>qvaluezx</arg_value>",
                "Glm",
            ),
            (
                "<|tool_call|>[{\"name\": \"NAME\", \"arguments\": OBJECT}]<|end_of_text|>",
                "Granite",
            ),
        ] {
            let text = written.replace("NAME", CALLED).replace("OBJECT", &arguments);
            let found = style_of(&text).map(|style| format!("{style:?}"));
            assert_eq!(found.as_deref(), Some(style), "{text}");
        }
    }

    #[test]
    fn call_in_an_unknown_form_has_no_style() {
        let arguments = format!("{{\"{ARGUMENT}\": \"{VALUE}\"}}");
        for written in [
            "",
            "<minimax:tool_call>\n<invoke name=\"NAME\">\n<parameter name=\"qargumentzx\">",
            "<seed:tool_call>\n<function=NAME>\n<parameter=qargumentzx>qvaluezx</parameter>",
            "<|tool_call_begin|>functions.NAME:0<|tool_call_argument_begin|>OBJECT<|tool_call_end|>",
            "Action: ```json\n[{\"tool_name\": \"NAME\", \"parameters\": OBJECT}]```",
            "<|tool_call|>[{\"name\": \"NAME\", \"arguments\": OBJECT}]<|/tool_call|>",
            "<TOOLCALL>[{\"name\": \"NAME\", \"arguments\": OBJECT}]</TOOLCALL>",
        ] {
            let text = written.replace("NAME", CALLED).replace("OBJECT", &arguments);
            assert_eq!(style_of(&text), None, "{text}");
        }
    }
}
