//! The chat template that the user chose instead of the one in the model's file.

use std::fs::File;
use std::io::{self, Read};

use crate::llama::{BUILTIN_CHAT_TEMPLATES, LoadError, builtin_chat_template};

/// The source of the template that `--chat-template` names: a built-in one, or a file.
///
/// # Errors
/// [`LoadError::Options`], if there is no such template or the file cannot be used.
pub(super) fn chosen_template(choice: &str) -> Result<String, LoadError> {
    if let Some(source) = builtin_chat_template(choice) {
        return Ok(source.to_owned());
    }
    read(choice).map_err(|error| {
        let reason = if error.kind() == io::ErrorKind::NotFound {
            let names = BUILTIN_CHAT_TEMPLATES.map(|(name, _)| name).join(", ");
            format!("there is no such file, and the built-in templates are {names}")
        } else {
            error.to_string()
        };
        LoadError::Options(format!("--chat-template {choice}: {reason}"))
    })
}

fn read(path: &str) -> io::Result<String> {
    let mut source = String::new();
    File::open(path)?.take(MAX_TEMPLATE_BYTES + 1).read_to_string(&mut source)?;
    if source.len() as u64 > MAX_TEMPLATE_BYTES {
        let reason = format!("the file has more than {} KiB", MAX_TEMPLATE_BYTES / 1024);
        return Err(io::Error::other(reason));
    }
    Ok(source)
}

/// Largest template file. The largest templates of models have some 30 KiB.
const MAX_TEMPLATE_BYTES: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_is_a_builtin_template_and_anything_else_a_file() {
        assert!(chosen_template("chatml").unwrap().contains("<|im_start|>"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("template.jinja");
        std::fs::write(&path, "{{ messages }}").unwrap();
        assert_eq!(chosen_template(path.to_str().unwrap()).unwrap(), "{{ messages }}");
    }

    #[test]
    fn template_that_cannot_be_read_is_refused_with_the_reason() {
        let error = chosen_template("chat-ml").unwrap_err().to_string();
        assert!(error.starts_with("--chat-template chat-ml: there is no such file"), "{error}");
        assert!(error.contains("chatml, command-r"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large");
        std::fs::write(&path, " ".repeat(MAX_TEMPLATE_BYTES as usize + 1)).unwrap();
        let error = chosen_template(path.to_str().unwrap()).unwrap_err().to_string();
        assert!(error.contains("more than 1024 KiB"), "{error}");
    }
}
