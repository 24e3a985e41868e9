//! The `/metrics` page for programs that do not ask for OpenMetrics, such as `promtool` and `curl`.
//!
//! The two text formats differ in one point that matters here: OpenMetrics describes a counter
//! without the end `_total` of its samples, and Prometheus's older format describes it with it.

use std::collections::HashSet;

/// `page` in Prometheus's text format 0.0.4.
pub(super) fn plain_text(page: &str) -> String {
    let described = |line: &str| {
        let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
        (kind == "counter").then(|| name.to_owned())
    };
    let counters: HashSet<String> = page.lines().filter_map(described).collect();
    let mut text = String::with_capacity(page.len());
    for line in page.lines().filter(|line| !is_open_metrics_only(line)) {
        let description = ["# HELP ", "# TYPE "].into_iter().find_map(|start| {
            let (name, rest) = line.strip_prefix(start)?.split_once(' ')?;
            counters.contains(name).then(|| format!("{start}{name}_total {rest}\n"))
        });
        match description {
            Some(description) => text.push_str(&description),
            None => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

/// Whether the older format does not have such lines.
fn is_open_metrics_only(line: &str) -> bool {
    line.starts_with("# UNIT ") || line == "# EOF"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_described_by_the_name_of_their_samples() {
        let page = "# HELP a_seconds Time.\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\n\
                    a_seconds_total{b=\"# EOF\"} 1.0\n# HELP c State.\n# TYPE c gauge\nc 2\n# EOF\n";
        assert_eq!(
            plain_text(page),
            "# HELP a_seconds_total Time.\n# TYPE a_seconds_total counter\n\
             a_seconds_total{b=\"# EOF\"} 1.0\n# HELP c State.\n# TYPE c gauge\nc 2\n"
        );
    }
}
