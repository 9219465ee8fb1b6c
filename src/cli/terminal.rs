//! What stdout is, if it is a terminal.

use std::env::var;
use std::io::{IsTerminal, stdout};
use std::path::Path;

use anstream::{AutoStream, ColorChoice};

use crate::output::{LEAST_WIDTH, Terminal};

/// Columns where the system does not say how many there are.
const USUAL_WIDTH: usize = 80;

/// The terminal that results are shown on; `None` where they go to `out`, a file, another program, or a terminal too narrow
/// to draw on. Colours follow `NO_COLOR`, `CLICOLOR`, `CLICOLOR_FORCE` and `TERM`, as those of `--help` do.
pub fn terminal(out: Option<&Path>) -> Option<Terminal> {
    if out.is_some() || !stdout().is_terminal() {
        return None;
    }
    let size = console::Term::stdout().size_checked();
    let width = size.map_or(USUAL_WIDTH, |(_, columns)| usize::from(columns));
    let colour = AutoStream::choice(&stdout()) != ColorChoice::Never;
    // Of the variables of the locale, which Windows does not have, the first that is set counts.
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(|name| var(name).ok());
    let locale = locale.into_iter().find(|value| !value.is_empty()).unwrap_or_default();
    let unicode = cfg!(windows) || says_utf8(&locale);
    (width >= LEAST_WIDTH).then_some(Terminal { width, colour, unicode })
}

/// Whether a locale such as `de_DE.UTF-8` has this encoding.
fn says_utf8(locale: &str) -> bool {
    let locale = locale.to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locale_says_whether_a_terminal_shows_more_than_ascii() {
        assert!(["de_DE.UTF-8", "C.utf8", "en_US.UTF-8@euro"].into_iter().all(says_utf8));
        assert!(!["", "C", "POSIX", "de_DE.ISO-8859-1"].into_iter().any(says_utf8));
    }
}
