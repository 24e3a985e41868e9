//! String literals whose escapes minijinja reads otherwise than Python.

/// A literal in quotes as one that minijinja reads as Python reads `source`, if it has to change.
pub(super) fn adapted(source: &str) -> Option<String> {
    let quote = source.chars().next()?;
    let inner = source.strip_prefix(quote)?.strip_suffix(quote)?;
    let mut out = String::from(quote);
    let mut has_changed = false;
    let mut rest = inner;
    while let Some((before, escape)) = rest.split_once('\\') {
        out.push_str(before);
        let c = escape.chars().next()?;
        rest = &escape[c.len_utf8()..];
        match c {
            'n' | 't' | 'r' | 'b' | 'f' | '\\' | '\'' | '"' => {
                out.extend(['\\', c]);
                continue;
            }
            '\n' => {}
            'a' => out.push('\x07'),
            'v' => out.push('\x0b'),
            'x' | 'u' | 'U' | '0'..='7' => {
                let (code, after) = numeric_escape(c, escape)?;
                if code == quote || code == '\\' {
                    out.push('\\');
                }
                out.push(code);
                rest = after;
            }
            // A name of a character.
            'N' => return None,
            // Python keeps the backslash before a character that has no meaning after one.
            _ => {
                out.push_str("\\\\");
                out.push(c);
            }
        }
        has_changed = true;
    }
    out.push_str(rest);
    out.push(quote);
    has_changed.then_some(out)
}

/// The character of an escape such as `x41`, and what follows it.
fn numeric_escape(kind: char, escape: &str) -> Option<(char, &str)> {
    let (radix, n_digits, digits) = match kind {
        'x' => (16, 2, &escape[1..]),
        'u' => (16, 4, &escape[1..]),
        'U' => (16, 8, &escape[1..]),
        _ => {
            let n_digits = escape.chars().take(3).take_while(|c| c.is_digit(8)).count();
            (8, n_digits, escape)
        }
    };
    let code = u32::from_str_radix(digits.get(..n_digits)?, radix).ok()?;
    Some((char::from_u32(code)?, &digits[n_digits..]))
}
