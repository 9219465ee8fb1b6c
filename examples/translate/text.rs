//! Sentences as words, words as numbers, and pairs of sentences from a file.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use percept::{Error, ErrorKind, Result};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// The numbers of what is no word.
pub const UNKNOWN: u32 = 0;
pub const START: u32 = 1;
pub const END: u32 = 2;

/// A sentence, and one or more translations of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    pub english: String,
    pub french: Vec<String>,
}

/// Words of the training part, the commonest first.
pub struct Vocabulary {
    words: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Vocabulary {
    pub fn new<'a>(sentences: impl Iterator<Item = &'a String>) -> Self {
        let mut counts = BTreeMap::new();
        sentences.flat_map(|sentence| split(sentence)).for_each(|word| *counts.entry(word).or_insert(0) += 1);
        let mut words: Vec<(String, i32)> = counts.into_iter().collect();
        // Equally common ones stay in the order of the alphabet.
        words.sort_by_key(|(_, count)| -count);
        let marks = ["⟨unknown⟩", "⟨start⟩", "⟨end⟩"].map(str::to_string);
        let words: Vec<String> = marks.into_iter().chain(words.into_iter().map(|(word, _)| word)).collect();
        let numbers = words.iter().zip(0..).map(|(word, number)| (word.clone(), number)).collect();
        Self { words, numbers }
    }

    /// Words, and the three marks.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    pub fn numbers(&self, sentence: &str) -> Vec<u32> {
        split(sentence).iter().map(|word| self.numbers.get(word).copied().unwrap_or(UNKNOWN)).collect()
    }

    pub fn words(&self, numbers: &[u32]) -> Vec<&str> {
        numbers.iter().map(|&number| self.words[number as usize].as_str()).collect()
    }
}

/// Words in small letters, and marks: `J'ai faim.` is `j'`, `ai`, `faim` and `.`
pub fn split(sentence: &str) -> Vec<String> {
    let letters: Vec<char> = sentence.replace('’', "'").to_lowercase().chars().collect();
    let is_letter = |i: usize| letters.get(i).is_some_and(|c| c.is_alphanumeric());
    let (mut words, mut i) = (Vec::new(), 0);
    while i < letters.len() {
        let start = i;
        i += 1;
        if is_letter(start) {
            while is_letter(i) || letters.get(i) == Some(&'-') && is_letter(i + 1) {
                i += 1;
            }
            i += usize::from(letters.get(i) == Some(&'\''));
        }
        if !letters[start].is_whitespace() {
            words.push(letters[start..i].iter().collect());
        }
    }
    words
}

/// The way back, as French is written.
pub fn join<S: AsRef<str>>(words: &[S]) -> String {
    let mut sentence = String::new();
    for word in words {
        let word = word.as_ref();
        if !(sentence.is_empty() || sentence.ends_with('\'') || matches!(word, "." | ",")) {
            sentence.push(' ');
        }
        sentence.push_str(word);
    }
    sentence
}

/// `English TAB French TAB whatever` on each line; translations of the same sentence become one pair.
pub fn read(path: &Path) -> Result<Vec<Pair>> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(&e, path))?;
    let mut pairs: Vec<Pair> = Vec::new();
    let mut places = HashMap::new();
    for (i, line) in text.lines().enumerate() {
        let (Some(english), Some(french)) = (line.split('\t').next(), line.split('\t').nth(1)) else {
            let message = format!("line {} has no tab; English TAB French is due, or try --quick", i + 1);
            return Err(Error::new(ErrorKind::Dataset, message).with_path(path));
        };
        let place = *places.entry(english.to_string()).or_insert(pairs.len());
        if place == pairs.len() {
            pairs.push(Pair { english: english.to_string(), french: Vec::new() });
        }
        pairs[place].french.push(french.to_string());
    }
    if pairs.len() < 20 {
        let message = "holds fewer than 20 different sentences; give more, or try --quick";
        return Err(Error::new(ErrorKind::Dataset, message).with_path(path));
    }
    Ok(pairs)
}

/// All sentences of a small grammar: who does what with which thing. In French the colour stands behind the thing, and
/// both agree.
pub fn grammar() -> Vec<Pair> {
    const WHO: [(&str, &str); 3] = [("I", "je"), ("you", "tu"), ("we", "nous")];
    const DOES: [(&str, [&str; 3]); 5] = [
        ("see", ["vois", "vois", "voyons"]),
        ("want", ["veux", "veux", "voulons"]),
        ("eat", ["mange", "manges", "mangeons"]),
        ("sell", ["vends", "vends", "vendons"]),
        ("find", ["trouve", "trouves", "trouvons"]),
    ];
    const COLOURS: [(&str, [&str; 2]); 4] = [
        ("red", ["rouge", "rouge"]),
        ("black", ["noir", "noire"]),
        ("green", ["vert", "verte"]),
        ("round", ["rond", "ronde"]),
    ];
    const THINGS: [(&str, &str, usize); 5] = [
        ("apple", "pomme", 1),
        ("car", "voiture", 1),
        ("pear", "poire", 1),
        ("book", "livre", 0),
        ("hat", "chapeau", 0),
    ];
    let mut pairs = Vec::new();
    for (person, (who, qui)) in WHO.into_iter().enumerate() {
        for (does, fait) in DOES {
            for (colour, couleur) in COLOURS {
                for (thing, chose, gender) in THINGS {
                    let english = format!("{who} {does} a {colour} {thing}.");
                    let french = format!(
                        "{qui} {} {} {chose} {}.",
                        fait[person],
                        ["un", "une"][gender],
                        couleur[gender]
                    );
                    pairs.push(Pair { english, french: vec![french] });
                }
            }
        }
    }
    // In no order: every kind of sentence is learned, and in the test.
    pairs.shuffle(&mut ChaCha8Rng::seed_from_u64(1));
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_come_apart_and_together() {
        let words = split("J’ai vu l'arc-en-ciel, et toi\u{202f}? Oui - 3 fois...");
        let expected = "j' ai vu l' arc-en-ciel , et toi ? oui - 3 fois . . .";
        assert_eq!(words.join(" "), expected);
        assert_eq!(join(&words), "j'ai vu l'arc-en-ciel, et toi ? oui - 3 fois...");
        assert!(split(" \t").is_empty() && join::<&str>(&[]).is_empty());
    }

    #[test]
    fn a_vocabulary_knows_its_words_by_how_common_they_are() {
        let sentences = ["b a a".to_string(), "c b a".to_string()];
        let known = Vocabulary::new(sentences.iter());
        assert_eq!(known.numbers("a b c d"), [3, 4, 5, UNKNOWN]);
        assert_eq!(known.words(&[3, END, 5]), ["a", "⟨end⟩", "c"]);
    }
}
