//! Bars and small charts. Their sizes are SVG attributes, since the page's policy allows no inline style.

use maud::{Markup, html};

use crate::http::internal::console::traffic::MINUTES;

/// How full something is, in percent; `mark` is a line across it.
pub(super) fn bar(full: u64, mark: Option<u64>, class: &str, label: &str) -> Markup {
    html! {
        svg class={ "bar " (class) } viewBox="0 0 100 1" preserveAspectRatio="none" role="img" aria-label=(label) {
            rect.full width=(full.min(100)) height="1" {}
            @if let Some(mark) = mark { rect.mark x=(mark.min(99)) width="0.8" height="1" {} }
        }
    }
}

/// Parts of a whole, side by side; each part's class sets its colour.
pub(super) fn shares(parts: &[(&str, u64)], label: &str) -> Markup {
    let whole: u64 = parts.iter().map(|(_, n)| n).sum();
    let pieces = parts.iter().scan(0, |end, (class, n)| {
        *end += n;
        Some((class, *end - n, n))
    });
    html! {
        svg.shares viewBox={ "0 0 " (whole) " 1" } preserveAspectRatio="none" role="img" aria-label=(label) {
            @for (class, x, width) in pieces { rect class=(class) x=(x) width=(width) height="1" {} }
        }
    }
}

/// One bar per minute, the newest on the right.
pub(super) fn per_minute(values: &[u64], class: &str, label: &str) -> Markup {
    const HEIGHT: u64 = 36;
    let peak = values.iter().copied().max().unwrap_or(0);
    let first = MINUTES - values.len().min(MINUTES);
    html! {
        svg class={ "minutes " (class) } viewBox={ "0 0 " (MINUTES * 4) " 37" } preserveAspectRatio="none" role="img" aria-label=(label) {
            rect.base y=(HEIGHT) width=(MINUTES * 4) height="1" {}
            @for (index, n) in values.iter().enumerate().filter(|(_, n)| **n > 0) {
                // Rounded up, so that a minute with anything in it can be seen.
                @let height = (n * HEIGHT).div_ceil(peak);
                rect x=((first + index) * 4) y=(HEIGHT - height) width="3" height=(height) {}
            }
        }
    }
}
