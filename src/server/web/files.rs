//! The files of the web page, as the build has found them.

use super::encoding::Encoding;

/// A file of the page.
#[derive(Debug)]
pub(super) struct WebFile {
    /// The path below the page's address.
    pub(super) path: &'static str,
    pub(super) plain: &'static [u8],
    /// The compressed forms, where they are smaller.
    pub(super) brotli: Option<&'static [u8]>,
    pub(super) gzip: Option<&'static [u8]>,
}

impl WebFile {
    /// The content in this encoding, if there is one.
    pub(super) fn content(&self, encoding: Encoding) -> Option<&'static [u8]> {
        match encoding {
            Encoding::Brotli => self.brotli,
            Encoding::Gzip => self.gzip,
            Encoding::Identity => Some(self.plain),
        }
    }

    /// Whether the name has a hash of the content, so that the content never changes.
    pub(super) fn is_immutable(&self) -> bool {
        self.path.starts_with("assets/")
    }

    /// The media type; `None` if the page has no such files.
    pub(super) fn media_type(&self) -> Option<&'static str> {
        let (_, extension) = self.path.rsplit_once('.')?;
        let types = MEDIA_TYPES.iter().find(|(known, _)| *known == extension);
        types.map(|&(_, media_type)| media_type)
    }
}

/// The files of `web/dist`; empty if the program was built without it. The build script writes the
/// table.
pub(super) static FILES: &[WebFile] = include!(concat!(env!("OUT_DIR"), "/web_files.rs"));

/// Media types by the extension of a file's name.
const MEDIA_TYPES: [(&str, &str); 9] = [
    ("css", "text/css; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("ico", "image/x-icon"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("webmanifest", "application/manifest+json"),
    ("woff2", "font/woff2"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_page_has_a_media_type() {
        for file in FILES {
            assert!(file.media_type().is_some(), "{}", file.path);
        }
    }
}
