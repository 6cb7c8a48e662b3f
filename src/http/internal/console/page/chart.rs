//! Bars and small charts. Their sizes are SVG attributes, since the page's policy allows no inline
//! style.

use maud::{Markup, html};

use crate::http::internal::console::traffic::MINUTES;

/// How full something is, from 0 to 1; `mark` is a line across it.
pub(super) fn bar(full: f64, mark: Option<f64>, class: &str, label: &str) -> Markup {
    let percent = |part: f64| format!("{:.1}", part.clamp(0.0, 1.0) * 100.0);
    html! {
        svg class={ "bar " (class) } viewBox="0 0 100 1" preserveAspectRatio="none" role="img" aria-label=(label) {
            rect.full width=(percent(full)) height="1" {}
            @if let Some(mark) = mark { rect.mark x=(percent(mark.min(0.992))) width="0.8" height="1" {} }
        }
    }
}

/// Several parts of a whole side by side; each part has a class, which gives its colour.
pub(super) fn shares(parts: &[(&str, u64)], label: &str) -> Markup {
    let whole = ratio_base(parts.iter().map(|(_, n)| n).sum());
    let mut x = 0.0;
    let pieces = parts.iter().map(|(class, n)| {
        let (start, width) = (x, approximate(*n) / whole * 100.0);
        x += width;
        (class, format!("{start:.2}"), format!("{width:.2}"))
    });
    html! {
        svg.shares viewBox="0 0 100 1" preserveAspectRatio="none" role="img" aria-label=(label) {
            @for (class, x, width) in pieces { rect class=(class) x=(x) width=(width) height="1" {} }
        }
    }
}

/// A bar per minute, the newest at the right.
pub(super) fn per_minute(values: &[u64], class: &str, label: &str) -> Markup {
    const HEIGHT: f64 = 36.0;
    let peak = ratio_base(values.iter().copied().max().unwrap_or(0));
    let first = MINUTES - values.len().min(MINUTES);
    let bars = values.iter().enumerate().filter(|(_, n)| **n > 0).map(|(index, n)| {
        let height = (approximate(*n) / peak * HEIGHT).max(1.5);
        (
            (first + index) * 4,
            format!("{:.1}", HEIGHT - height),
            format!("{height:.1}"),
        )
    });
    html! {
        svg class={ "minutes " (class) } viewBox={ "0 0 " (MINUTES * 4) " 37" } preserveAspectRatio="none" role="img" aria-label=(label) {
            rect.base y="36" width=(MINUTES * 4) height="1" {}
            @for (x, y, height) in bars { rect x=(x) y=(y) width="3" height=(height) {} }
        }
    }
}

/// A divisor, never 0.
fn ratio_base(whole: u64) -> f64 {
    approximate(whole.max(1))
}

#[expect(clippy::cast_precision_loss, reason = "a chart needs no 16 digits")]
fn approximate(n: u64) -> f64 {
    n as f64
}
