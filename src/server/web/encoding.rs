//! Which form of a file a client gets: `Accept-Encoding` (RFC 9110, 12.5.3).

use axum::http::HeaderMap;
use axum::http::header::ACCEPT_ENCODING;

/// The encoding of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Brotli,
    Gzip,
    Identity,
}

impl Encoding {
    /// Every encoding, the smallest first.
    pub(super) const ALL: [Self; 3] = [Self::Brotli, Self::Gzip, Self::Identity];

    /// The name in `Content-Encoding`, which is not sent with `identity`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
            Self::Identity => "identity",
        }
    }

    /// The encoding that the client likes best of those that `is_available`. Among equals it is the
    /// smallest. A client that accepts none gets `identity`.
    pub(super) fn choose(headers: &HeaderMap, is_available: impl Fn(Self) -> bool) -> Self {
        let fields = headers.get_all(ACCEPT_ENCODING).iter();
        let fields: Vec<&str> = fields.filter_map(|field| field.to_str().ok()).collect();
        let available = Self::ALL.into_iter().filter(|&encoding| is_available(encoding));
        let mut best = (Self::Identity, 0.0);
        for encoding in available {
            let quality = encoding.quality(&fields);
            if quality > best.1 {
                best = (encoding, quality);
            }
        }
        best.0
    }

    /// How much a client with these fields likes this encoding, 0 to 1.
    fn quality(self, fields: &[&str]) -> f32 {
        let named = |name: &str| {
            let elements = fields.iter().flat_map(|field| field.split(',')).map(parse_element);
            elements
                .filter(|(known, _)| known.eq_ignore_ascii_case(name))
                .map(|(_, q)| q)
                .next_back()
        };
        let unnamed = if self == Self::Identity { LAST_RESORT } else { 0.0 };
        named(self.name()).or_else(|| named("*")).unwrap_or(unnamed)
    }
}

/// The name and the quality of an element such as `br;q=0.5`. A quality that is no number is 0.
fn parse_element(element: &str) -> (&str, f32) {
    let mut parts = element.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let quality = parts.find_map(|part| part.strip_prefix(['q', 'Q'])?.strip_prefix('='));
    (name, quality.map_or(1.0, |text| text.parse().unwrap_or(0.0)))
}

/// The quality of `identity` if the client does not name it: acceptable, but least of all.
const LAST_RESORT: f32 = 0.0001;

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(fields: &[&str]) -> Encoding {
        let headers = fields.iter().map(|field| (ACCEPT_ENCODING, field.parse().unwrap()));
        Encoding::choose(&headers.collect(), |_| true)
    }

    #[test]
    fn encoding_with_the_highest_quality_is_chosen_and_the_smallest_of_equals() {
        for (fields, expected) in [
            (&["gzip, deflate, br, zstd"][..], Encoding::Brotli),
            (&["gzip, deflate"], Encoding::Gzip),
            (&["br;q=0.5, gzip;q=0.8"], Encoding::Gzip),
            (&["BR ; Q=1.0 , gzip"], Encoding::Brotli),
            (&["gzip", "br"], Encoding::Brotli),
            (&["br;q=0, *"], Encoding::Gzip),
            (&["br;q=0, gzip;q=0.0"], Encoding::Identity),
            (&["identity, br;q=0.5"], Encoding::Identity),
            (&["*"], Encoding::Brotli),
            (&["zstd"], Encoding::Identity),
            (&["identity;q=0"], Encoding::Identity),
            (&["br;q=x"], Encoding::Identity),
            (&[""], Encoding::Identity),
            (&[], Encoding::Identity),
        ] {
            assert_eq!(chosen(fields), expected, "{fields:?}");
        }
    }

    #[test]
    fn encoding_that_a_file_does_not_have_is_not_chosen() {
        let headers = [(ACCEPT_ENCODING, "gzip, br".parse().unwrap())].into_iter().collect();
        let choose = |missing| Encoding::choose(&headers, |encoding| encoding != missing);
        assert_eq!(choose(Encoding::Brotli), Encoding::Gzip);
        assert_eq!(Encoding::choose(&headers, |e| e == Encoding::Identity), Encoding::Identity);
    }
}
