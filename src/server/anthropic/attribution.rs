//! The line about billing that Anthropic's coding client writes at the head of its instructions.
//!
//! The line is for Anthropic's servers. It has a checksum of the request (`cch=…`), so it differs
//! in every request, and everything behind it would be computed again each time. It says nothing to
//! a model, so it is left out (ADR-0050).

use std::borrow::Cow;

/// `text` without lines about billing.
pub(super) fn without_attribution(text: &str) -> Cow<'_, str> {
    if !text.contains(HEADER) {
        return Cow::Borrowed(text);
    }
    let lines = text.split_inclusive('\n');
    Cow::Owned(lines.filter(|line| !line.trim_start().starts_with(HEADER)).collect())
}

/// How the line begins.
const HEADER: &str = "x-anthropic-billing-header:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_about_billing_is_left_out_and_the_rest_stays() {
        for (text, expected) in [
            ("x-anthropic-billing-header: cc_version=2.1.1; cch=0f3a1;", ""),
            ("x-anthropic-billing-header: cch=1;\nYou are an agent.\n", "You are an agent.\n"),
            ("a\n x-anthropic-billing-header: cch=2;\nb", "a\nb"),
            (
                "the header x-anthropic-billing-header: is odd",
                "the header x-anthropic-billing-header: is odd",
            ),
            ("plain", "plain"),
        ] {
            assert_eq!(without_attribution(text), expected, "{text}");
        }
    }
}
