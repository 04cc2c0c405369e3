//! Icons of definitions. Clients load an icon without asking the user, so its `src` is limited to what cannot run, read files of
//! the client's machine or be changed on the way: `https` URLs, and `data` URLs of bitmaps. Other icons are left out.

use std::borrow::Cow;

use url::Url;

use crate::{deceptive_text, object};

/// Maximum length of the `data` URL of an icon in bytes.
const MAX_DATA_URL: usize = 64 * 1024;

/// Maximum length of the `https` URL of an icon in bytes.
const MAX_URL: usize = 2048;

/// Types of images in `data` URLs. SVG is not among them: it can hold scripts and references to other documents.
const IMAGES: [&str; 5] = [
    "image/png",
    "image/jpeg",
    "image/jpg",
    "image/webp",
    "image/gif",
];

const ICONS: &str = "icons";

/// Returns `true` if a definition has an icon that is left out.
pub(super) fn are_unsafe(definition: &[u8]) -> bool {
    object::get(definition, ICONS).is_some_and(|icons| !are_allowed(icons))
}

/// Returns a definition without the icons that clients must not load. A list without any other icon is left out as a whole.
pub(super) fn without_unsafe(definition: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    let Some(icons) = object::get(&definition, ICONS) else {
        return definition;
    };
    if are_allowed(icons) {
        return definition;
    }
    let mut kept = vec![b'['];
    for icon in object::elements(icons).into_iter().map(|it| it.of(icons)) {
        if is_allowed(icon) {
            if kept.len() > 1 {
                kept.push(b',');
            }
            kept.extend_from_slice(icon);
        }
    }
    kept.push(b']');
    let rebuilt = match kept.as_slice() {
        b"[]" => object::rebuild(&definition, |name| name != ICONS, &[]),
        kept => object::rebuild(&definition, |_| true, &[(ICONS, kept)]),
    };
    Cow::Owned(rebuilt)
}

/// Returns `true` if all icons of a list may be loaded.
fn are_allowed(icons: &[u8]) -> bool {
    let mut icons = object::elements(icons).into_iter().map(|it| it.of(icons));
    icons.all(is_allowed)
}

fn is_allowed(icon: &[u8]) -> bool {
    let src = object::get(icon, "src");
    let src = src.and_then(|src| serde_json::from_slice::<String>(src).ok());
    src.is_some_and(|src| is_loadable(&src))
}

/// Returns `true` if clients may load an icon from here.
fn is_loadable(src: &str) -> bool {
    let scheme_ends = src.find(':').unwrap_or_default();
    let (scheme, rest) = src.split_at(scheme_ends);
    let is_written_plainly = !src.contains(|c: char| c.is_whitespace() || c.is_control())
        && !deceptive_text::contained_in_name(src);
    if !is_written_plainly {
        return false;
    }
    if scheme.eq_ignore_ascii_case("https") {
        let is_plain = |url: &Url| url.username().is_empty() && url.password().is_none();
        return src.len() <= MAX_URL
            && rest.starts_with("://")
            && Url::parse(src).is_ok_and(|url| url.has_host() && is_plain(&url));
    }
    let media_type = rest.get(1..).and_then(|data| data.split_once(','));
    let media_type = media_type.and_then(|(header, _)| header.split(';').next());
    scheme.eq_ignore_ascii_case("data")
        && src.len() <= MAX_DATA_URL
        && media_type.is_some_and(|it| IMAGES.iter().any(|image| it.eq_ignore_ascii_case(image)))
}

#[cfg(test)]
mod tests;
