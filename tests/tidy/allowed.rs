//! Private words that may stay in a file: names of the wire, and texts that are data.

use super::words::Allowed;

/// Each entry states in `reason` why the word cannot change.
pub(crate) const ALLOWED: [Allowed; 4] = [
    Allowed {
        word: "house",
        path: "examples/load/workload.rs",
        reason: "a word of the generated prompts; another word would change the workload",
    },
    Allowed {
        word: "house",
        path: "tools/bench/scenarios/texts.py",
        reason: "part of a benchmark prompt; another text would change the figures",
    },
    Allowed {
        word: "house",
        path: "tools/bench/scenarios/speed.py",
        reason: "part of a benchmark prompt; another text would change the figures",
    },
    Allowed {
        word: "door",
        path: "tools/bench/scenarios/texts.py",
        reason: "part of a benchmark prompt; another text would change the figures",
    },
];
