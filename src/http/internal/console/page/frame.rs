//! What every page of the console has around its content.

use maud::{DOCTYPE, Markup, html};

use crate::http::internal::console::language::Language;
use crate::http::internal::console::localizer::Localizer;
use crate::http::internal::console::text;

/// The frame of every page.
pub(super) fn document(title: &Markup, more: &Markup, body: &Markup, loc: Localizer) -> Markup {
    html! {
        (DOCTYPE)
        html lang=(loc.language.tag()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="icon" type="image/svg+xml" href=(loc.file("icon.svg"));
                link rel="stylesheet" href=(loc.file("console.css"));
                (more)
            }
            body { (body) }
        }
    }
}

/// The same page in either language.
pub(super) fn language_links(loc: Localizer) -> Markup {
    html! {
        nav aria-label=(loc.text(text::OTHER_LANGUAGE)) {
            @for (language, name) in [(Language::Chinese, "中文"), (Language::English, "EN")] {
                @let current = (language == loc.language).then_some("true");
                a href={ "?lang=" (language.code()) } lang=(language.tag())
                    hreflang=(language.tag()) aria-current=[current] { (name) }
            }
        }
    }
}
