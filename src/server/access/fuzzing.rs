//! What the fuzz target of the key file uses: any text is a list of keys, or is refused in one
//! line.

use super::key_file;

/// Reads the keys of a file and writes them again.
///
/// # Errors
/// Why the text is refused, in one line without values.
pub fn rewrite_key_file(text: &str) -> Result<String, String> {
    let entries = key_file::parse(text).map_err(|error| error.to_string())?;
    Ok(entries.iter().map(key_file::table).collect())
}
