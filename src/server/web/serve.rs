//! Answers requests for the files of the web page.

use std::sync::Arc;

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    VARY,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::server::shared::Shared;

use super::encoding::Encoding;
use super::files::WebFile;

/// The routes of these files.
pub(super) fn routes_of(files: &'static [WebFile]) -> Router<Arc<Shared>> {
    let mut routes = Router::new();
    for file in files {
        let path = if file.path == INDEX { "" } else { file.path };
        let hash = hash(file.plain);
        let serve = move |headers: HeaderMap| async move { respond(file, &hash, &headers) };
        routes = routes.route(&format!("/{path}"), get(serve));
    }
    if files.iter().any(|file| file.path == INDEX) {
        return routes;
    }
    routes.route("/", get(missing))
}

/// The response for a program without the page.
async fn missing() -> Response {
    ([(CONTENT_TYPE, "text/html; charset=utf-8")], include_str!("missing.html")).into_response()
}

/// The response with `file`, in the form that the client likes best. `hash` is that of the content.
fn respond(file: &WebFile, hash: &str, request: &HeaderMap) -> Response {
    let encoding = Encoding::choose(request, |encoding| file.content(encoding).is_some());
    let content = file.content(encoding).unwrap_or(file.plain);
    // Each form has a tag of its own: a strong one stands for the same bytes.
    let tag = format!("\"{hash}-{}\"", encoding.name());
    let mut response = match is_known(request, &tag) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => content.into_response(),
    };
    let media_type = file.media_type().unwrap_or("application/octet-stream");
    let is_modified = response.status() == StatusCode::OK;
    let headers = response.headers_mut();
    for (name, value) in PAGE_HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let caching = if file.is_immutable() { IMMUTABLE } else { "no-cache" };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(caching));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(ETAG, HeaderValue::try_from(tag).expect("hexadecimal digits and a name"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    if is_modified && encoding != Encoding::Identity {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
    }
    response
}

/// Whether the client has the content with this tag (RFC 9110, 13.1.2).
fn is_known(request: &HeaderMap, tag: &str) -> bool {
    let fields = request.get_all(IF_NONE_MATCH).iter().filter_map(|field| field.to_str().ok());
    let mut tags = fields.flat_map(|field| field.split(',')).map(str::trim);
    tags.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

/// What identifies a content.
fn hash(content: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(content)[..HASH_BYTES])
}

/// The file at the page's address.
const INDEX: &str = "index.html";

/// For files whose name changes with their content.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// Bytes of a hash, enough to tell any two files apart.
const HASH_BYTES: usize = 16;

/// What browsers may do with the page: load and run only what this server sends, connect only to
/// this server, and insert HTML only through DOMPurify.
const PAGE_HEADERS: [(HeaderName, &str); 3] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
         font-src 'self'; connect-src 'self'; manifest-src 'self'; worker-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types dompurify",
    ),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "accelerometer=(), autoplay=(), camera=(), clipboard-read=(), display-capture=(), \
         fullscreen=(), geolocation=(), gyroscope=(), hid=(), magnetometer=(), microphone=(), \
         midi=(), payment=(), publickey-credentials-get=(), screen-wake-lock=(), serial=(), \
         usb=(), xr-spatial-tracking=()",
    ),
];

#[cfg(test)]
mod tests {
    use axum::body::HttpBody;
    use axum::http::header::ACCEPT_ENCODING;

    use super::*;

    const SCRIPT: WebFile = WebFile {
        path: "assets/index-1a2b.js",
        plain: b"the script",
        brotli: Some(b"br"),
        gzip: Some(b"gzip"),
    };

    const ICON: WebFile = WebFile { path: "icon.svg", plain: b"<svg/>", brotli: None, gzip: None };

    fn answer(file: &WebFile, fields: &[(HeaderName, &str)]) -> Response {
        let fields = fields.iter().map(|(name, value)| (name.clone(), value.parse().unwrap()));
        respond(file, &hash(file.plain), &fields.collect())
    }

    fn field(response: &Response, name: HeaderName) -> &str {
        response.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[test]
    fn file_with_a_hash_in_its_name_may_be_kept_and_others_are_asked_for_again() {
        let script = answer(&SCRIPT, &[]);
        assert_eq!(field(&script, CACHE_CONTROL), "public, max-age=31536000, immutable");
        assert_eq!(field(&script, CONTENT_TYPE), "text/javascript; charset=utf-8");
        let icon = answer(&ICON, &[]);
        assert_eq!(field(&icon, CACHE_CONTROL), "no-cache");
        assert_eq!(field(&icon, CONTENT_TYPE), "image/svg+xml");
    }

    #[test]
    fn compressed_form_is_sent_to_clients_that_accept_it_with_a_tag_of_its_own() {
        let mut tags = Vec::new();
        for (accepted, encoding, length) in
            [("gzip, br", "br", 2), ("gzip", "gzip", 4), ("deflate", "", 10)]
        {
            let response = answer(&SCRIPT, &[(ACCEPT_ENCODING, accepted)]);
            assert_eq!(response.status(), StatusCode::OK, "{accepted}");
            assert_eq!(field(&response, CONTENT_ENCODING), encoding, "{accepted}");
            assert_eq!(field(&response, VARY), "accept-encoding");
            assert_eq!(response.body().size_hint().exact(), Some(length), "{accepted}");
            tags.push(field(&response, ETAG).to_owned());
        }
        tags.dedup();
        assert_eq!(tags.len(), 3, "{tags:?}");
    }

    #[test]
    fn content_that_the_client_has_is_not_sent_again() {
        let tag = field(&answer(&ICON, &[]), ETAG).to_owned();
        let (weak, list) = (format!("W/{tag}"), format!("\"other\", {tag}"));
        for (known, status) in [
            (tag.as_str(), StatusCode::NOT_MODIFIED),
            (&weak, StatusCode::NOT_MODIFIED),
            (&list, StatusCode::NOT_MODIFIED),
            ("*", StatusCode::NOT_MODIFIED),
            ("\"other\"", StatusCode::OK),
            ("", StatusCode::OK),
        ] {
            let response = answer(&ICON, &[(IF_NONE_MATCH, known)]);
            assert_eq!(response.status(), status, "{known}");
            assert_eq!(field(&response, ETAG), tag, "{known}");
            assert_eq!(field(&response, CACHE_CONTROL), "no-cache", "{known}");
        }
    }

    #[test]
    fn policy_allows_no_inline_code_and_no_other_host() {
        let policy = PAGE_HEADERS[0].1;
        for word in ["unsafe", "http", "*", "ws:"] {
            assert!(!policy.contains(word), "{word}");
        }
    }
}
