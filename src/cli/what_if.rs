//! A configuration with other values of some options, for questions such as how much memory a
//! longer context would take.

use std::ffi::OsString;

use super::config::{Config, PlanOptions};
use super::{UsageError, parse_args};

impl Config {
    /// This configuration with other values of options, by their names with `_` in place of `-`.
    /// `vram` is the option of `plan`.
    ///
    /// # Errors
    /// What is wrong, in one line: a name that no parameter has, or one that is there twice, or a
    /// value that its option does not accept.
    pub fn what_if(&self, changes: &[(String, String)]) -> Result<(Self, PlanOptions), String> {
        let mut options: Vec<OsString> = Vec::with_capacity(changes.len());
        for (i, (name, value)) in changes.iter().enumerate() {
            if !PARAMETERS.contains(&name.as_str()) {
                let names = PARAMETERS.join(", ");
                return Err(format!("there is no parameter {name}: there are {names}"));
            }
            if changes[..i].iter().any(|(earlier, _)| earlier == name) {
                return Err(format!("{name} is there twice: give it one value"));
            }
            // In one argument, so that no value is taken as an option.
            options.push(format!("--{}={value}", name.replace('_', "-")).into());
        }
        let mut arguments = self.arguments.0.clone();
        let end = arguments.iter().position(|argument| argument == "--");
        let at = end.unwrap_or(arguments.len());
        arguments.splice(at..at, options);
        let args = parse_args(arguments, true)
            .map_err(|error| in_parameters(&UsageError::from(error).0))?;
        let options = args.plan_options();
        let arguments = self.arguments.clone();
        let config = Self { arguments, ..args.into_config(self.model.clone(), self.port) };
        Ok((config, options))
    }
}

/// `message` about options, about the parameters that stand for them: `ctx_size` in place of
/// `'--ctx-size <TOKENS>'` and of `--ctx-size`.
pub fn in_parameters(message: &str) -> String {
    let mut text = message.to_owned();
    // Longer names first: one begins with another.
    let mut names = PARAMETERS;
    names.sort_unstable_by_key(|name| std::cmp::Reverse(name.len()));
    for name in names {
        let option = format!("--{}", name.replace('_', "-"));
        let quoted = format!("'{option} <");
        while let Some(start) = text.find(&quoted)
            && let Some(length) = text[start + 1..].find('\'')
        {
            text.replace_range(start..start + length + 2, name);
        }
        text = text.replace(&option, name);
    }
    text
}

/// The options that change what the model takes, as parameters.
const PARAMETERS: [&str; 10] = [
    "ctx_size",
    "parallel",
    "kv_size",
    "kv_type",
    "gpu_layers",
    "vram",
    "vram_reserve",
    "cache_ram",
    "ubatch",
    "flash_attn",
];

#[cfg(test)]
mod tests {
    use super::super::Command;
    use super::*;
    use crate::cli::KvTypeChoice;

    fn config(line: &str) -> Config {
        let words = std::iter::once("inference-core").chain(line.split_whitespace());
        match Command::parse(words.map(OsString::from)) {
            Ok(Command::Serve(config)) => *config,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn what_if(config: &Config, changes: &[(&str, &str)]) -> Result<(Config, PlanOptions), String> {
        let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        config.what_if(&changes.iter().map(owned).collect::<Vec<_>>())
    }

    #[test]
    fn changed_options_replace_those_of_the_command_line_and_no_others() {
        for line in ["a.gguf 4000 --ctx-size 512 --parallel 2", "--parallel=2 -- a.gguf 4000"] {
            let config = config(line);
            let (same, _) = what_if(&config, &[]).unwrap();
            assert_eq!(same, config, "{line}");
            let changes = [("ctx_size", "8192"), ("kv_type", "q8_0"), ("vram", "3GB,8GB")];
            let (changed, options) = what_if(&config, &changes).unwrap();
            assert_eq!(options.vram, [3 << 30, 8 << 30], "{line}");
            let kv_type = KvTypeChoice::Q8;
            assert_eq!(changed, Config { ctx_size: Some(8192), kv_type, ..config }, "{line}");
        }
    }

    #[test]
    fn wrong_parameters_are_refused_in_one_line() {
        let config = config("a.gguf");
        for (changes, expected) in [
            (&[("ctx_size", "0")][..], " for ctx_size"),
            (&[("ctx_size", "")], " for ctx_size"),
            (&[("vram_reserve", "x")], " for vram_reserve"),
            (&[("vram", "-1")], "such as 500MB"),
            (&[("parallel", "--json")], " for parallel"),
            (&[("kv_type", "q5_0")], "q5_0"),
            (&[("model", "/etc/passwd")], "there is no parameter model: there are ctx_size, "),
            (&[("ctx-size", "1")], "there is no parameter ctx-size"),
            (&[("parallel", "1"), ("parallel", "2")], "parallel is there twice"),
        ] {
            let message = what_if(&config, changes).unwrap_err();
            assert!(message.contains(expected) && !message.contains('\n'), "{message}");
            assert!(!message.contains("--ctx") && !message.contains("<"), "{message}");
        }
    }

    #[test]
    fn debug_form_hides_the_arguments() {
        let config = config("a.gguf --api-key 0123456789abcdef");
        assert!(!format!("{config:?}").contains("0123456789abcdef"));
    }
}
