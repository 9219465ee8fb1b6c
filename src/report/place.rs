//! Where media are, and how a page links to them.

use std::path::{Component, Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// Letters that stand for themselves in a part of a link.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Finds files that results name.
#[derive(Debug, Clone, Default)]
pub struct Roots(Vec<PathBuf>);

impl Roots {
    /// `root`: where relative paths start from; without it, here, and then in the folder of the `results`.
    pub fn new(root: Option<&Path>, results: &Path) -> Self {
        match root {
            Some(root) => Self(vec![root.to_path_buf()]),
            None => Self(vec![PathBuf::new(), results.parent().unwrap_or(Path::new("")).to_path_buf()]),
        }
    }

    /// Where the file is now.
    pub fn find(&self, path: &Path) -> Option<PathBuf> {
        // An absolute path stays as it is.
        self.0.iter().map(|root| root.join(path)).find(|path| path.exists())
    }
}

/// The link to `file` in a page of the directory `page`; both as [`Path::canonicalize`] gives them.
pub fn link(file: &Path, page: &Path) -> Option<String> {
    let (mut file, mut page) = (file.components().peekable(), page.components().peekable());
    if file.peek() != page.peek() {
        // On another disk of Windows.
        return None;
    }
    while file.peek().is_some() && file.peek() == page.peek() {
        file.next();
        page.next();
    }
    let up = page.map(|_| "..".to_string());
    let down = file.filter_map(|part| match part {
        Component::Normal(name) => Some(percent_encode(name.as_encoded_bytes(), ENCODED).to_string()),
        _ => None,
    });
    // The dot keeps a name such as `javascript:x` a name.
    Some([".".to_string()].into_iter().chain(up).chain(down).collect::<Vec<_>>().join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_from_the_page_to_the_file_whatever_its_name() {
        let of = |file, page| link(Path::new(file), Path::new(page)).unwrap();
        assert_eq!(of("/a/b/c.wav", "/a/b"), "./c.wav");
        assert_eq!(of("/a/x/c.wav", "/a/b/d"), "./../../x/c.wav");
        assert_eq!(of("/c.wav", "/"), "./c.wav");
        assert_eq!(of("/a/javascript:alert(1)", "/a"), "./javascript%3Aalert%281%29");
        assert_eq!(of("/a/ö \"<#?%\\.wav", "/a"), "./%C3%B6%20%22%3C%23%3F%25%5C.wav");
    }
}
