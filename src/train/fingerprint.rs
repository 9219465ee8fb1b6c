//! Names the training data by its content, and finds the same recording in two places.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::{Dataset, Part, Parts, Span, Truth};
use crate::files::each_piece;
use crate::media::video;
use crate::model::hex;
use crate::{Error, Result};

/// What the files' contents say.
#[derive(Debug, Clone, PartialEq)]
pub struct Fingerprint {
    /// SHA-256 over the contents and labels of the training and validation parts, in hexadecimal: of the sorted
    /// lines `PART\tSHA256\tLABEL\n`. Names and places of the files do not matter.
    pub sha256: String,
    /// The same content in two parts, or under two labels.
    pub warnings: Vec<String>,
}

/// Reads every file of `parts` once. One of the test part that cannot be read is passed over: nothing is learned from
/// it, and the evaluation lists it.
pub fn fingerprint(dataset: &Dataset, parts: &Parts) -> Result<Fingerprint> {
    let clips: Vec<(Part, usize)> =
        Part::ALL.iter().flat_map(|&part| parts.get(part).iter().map(move |&i| (part, i))).collect();
    let hashes = clips
        .par_iter()
        .map(|&(part, i)| match hash_file(&dataset.items[i].path) {
            Err(_) if part == Part::Test => Ok(None),
            hash => hash.map(|hash| Some((part, i, hash))),
        })
        .collect::<Vec<_>>()
        .into_iter()
        .filter_map(Result::transpose)
        .collect::<Result<Vec<_>>>()?;
    let mut lines: Vec<String> = hashes
        .iter()
        .filter(|(part, ..)| *part != Part::Test)
        .map(|(part, i, hash)| format!("{}\t{hash}\t{}\n", part.name(), said_of(dataset, *i)))
        .collect();
    lines.sort_unstable();
    let sha256 = hex(Sha256::digest(lines.concat()).as_slice());
    Ok(Fingerprint { sha256, warnings: find_twins(dataset, &hashes) })
}

/// What the data says of an item, as text: its label, or `ONSET OFFSET LABEL` of each, separated by tabs.
fn said_of(dataset: &Dataset, item: usize) -> String {
    match &dataset.items[item].truth {
        Truth::Label(label) => dataset.labels[*label].clone(),
        Truth::Spans(spans) => {
            let text = |s: &Span| format!("{} {} {}", s.onset, s.offset, dataset.labels[s.label]);
            spans.iter().map(text).collect::<Vec<_>>().join("\t")
        }
    }
}

fn find_twins(dataset: &Dataset, hashes: &[(Part, usize, String)]) -> Vec<String> {
    let mut first: HashMap<&str, (Part, usize)> = HashMap::with_capacity(hashes.len());
    let mut leaks = Vec::new();
    let mut contradictions = Vec::new();
    for &(part, i, ref hash) in hashes {
        let &mut (first_part, j) = first.entry(hash).or_insert((part, i));
        if first_part != part {
            leaks.push((j, i));
        }
        if said_of(dataset, i) != said_of(dataset, j) {
            contradictions.push((j, i));
        }
    }
    let path = |i: usize| dataset.items[i].path.display();
    let mut warnings = Vec::new();
    if let Some(&(a, b)) = leaks.first() {
        warnings.push(format!(
            "{} recordings are in two parts with the same content (the first: {} and {}); results on them are too \
             good",
            leaks.len(),
            path(a),
            path(b)
        ));
    }
    if let Some(&(a, b)) = contradictions.first() {
        warnings.push(format!(
            "{} recordings have two labels with the same content (the first: {} and {}); one of them is wrong",
            contradictions.len(),
            path(a),
            path(b)
        ));
    }
    warnings
}

/// Of a directory of pictures, all of them one after the other.
fn hash_file(path: &Path) -> Result<String> {
    let files = if path.is_dir() { video::pictures(path)? } else { vec![path.to_path_buf()] };
    let mut hasher = Sha256::new();
    for path in &files {
        let read = File::open(path).and_then(|file| each_piece(file, |piece| hasher.update(piece)));
        read.map_err(|e| Error::io(&e, path))?;
    }
    Ok(hex(hasher.finalize().as_slice()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Item;

    fn make(files: &[(&str, &str, usize)]) -> (tempfile::TempDir, Dataset) {
        let root = tempfile::tempdir().unwrap();
        let items = files
            .iter()
            .map(|&(name, content, label)| {
                let path = root.path().join(name);
                std::fs::write(&path, content).unwrap();
                Item {
                    path,
                    truth: Truth::Label(label),
                    part: None,
                    group: None,
                    line: None,
                    label_file: None,
                }
            })
            .collect();
        (
            root,
            Dataset {
                labels: vec!["cat".into(), "dog".into()],
                has_background: false,
                items,
                messages: vec![],
            },
        )
    }

    #[test]
    fn it_is_sha256_over_the_sorted_contents_and_labels() {
        let (_root, data) = make(&[("a", "one", 1), ("b", "two", 0), ("c", "three", 0)]);
        let parts = Parts { train: vec![0, 1], test: vec![2], ..Default::default() };
        let print = fingerprint(&data, &parts).unwrap();
        // python: h = lambda s: sha256(s.encode()).hexdigest(); h(''.join(sorted(f'train\t{h(c)}\t{l}\n' for ...)))
        assert_eq!(print.sha256, "a5d7f47023323efae504299eddaf610662d17fc13aff05e2b959ca4d1cbcab0d");
        assert!(print.warnings.is_empty());
    }

    #[test]
    fn names_and_order_do_not_matter_but_labels_do() {
        let parts = Parts { train: vec![0, 1], ..Default::default() };
        let of = |files: &[(&str, &str, usize)]| {
            let (_root, data) = make(files);
            fingerprint(&data, &parts).unwrap().sha256
        };
        let a = of(&[("a", "one", 1), ("b", "two", 0)]);
        assert_eq!(a, of(&[("x", "two", 0), ("y", "one", 1)]));
        assert_ne!(a, of(&[("a", "one", 0), ("b", "two", 1)]));
    }

    #[test]
    fn the_same_content_in_two_parts_or_under_two_labels_is_a_warning() {
        let (_root, data) = make(&[("a", "one", 1), ("b", "two", 0), ("c", "one", 1), ("d", "two", 1)]);
        let parts = Parts { train: vec![0, 1, 3], test: vec![2], ..Default::default() };
        let warnings = fingerprint(&data, &parts).unwrap().warnings;
        assert!(warnings[0].starts_with("1 recordings are in two parts"), "{warnings:?}");
        assert!(warnings[1].starts_with("1 recordings have two labels"), "{warnings:?}");
    }

    #[test]
    fn a_test_file_that_is_gone_is_passed_over() {
        let (root, data) = make(&[("a", "one", 1), ("b", "two", 0), ("c", "two", 0)]);
        let parts = |test: &[usize]| Parts { train: vec![0], test: test.to_vec(), ..Default::default() };
        std::fs::remove_file(root.path().join("b")).unwrap();
        let print = fingerprint(&data, &parts(&[1, 2])).unwrap();
        assert_eq!(print, fingerprint(&data, &parts(&[])).unwrap());
    }

    #[test]
    fn a_training_file_that_is_gone_is_an_error_with_its_path() {
        let (root, data) = make(&[("a", "one", 1)]);
        std::fs::remove_file(root.path().join("a")).unwrap();
        let parts = Parts { train: vec![0], ..Default::default() };
        assert_eq!(fingerprint(&data, &parts).unwrap_err().path.unwrap(), root.path().join("a"));
    }
}
