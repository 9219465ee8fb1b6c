//! How good translations are, as [sacrebleu](https://github.com/mjpost/sacrebleu) 2.6 computes it with its defaults: BLEU
//! (Papineni et al. 2002) over words, chrF (Popović 2015) over letters. Both are from 0 to 100.

use std::collections::HashMap;
use std::hash::Hash;

/// Longest run of words that BLEU compares, and of letters that chrF does.
const WORDS: usize = 4;
const LETTERS: usize = 6;

/// `exp(Σ_n ln precision_n / 4) · min(1, exp(1 - reference words / words))`, over all sentences together. `references` holds
/// one or more for each hypothesis.
pub fn bleu(hypotheses: &[String], references: &[Vec<String>]) -> f64 {
    let (mut length, mut due) = (0, 0);
    let (mut right, mut all) = ([0usize; WORDS], [0usize; WORDS]);
    for (hypothesis, references) in hypotheses.iter().zip(references) {
        let words = tokens_13a(hypothesis);
        let references: Vec<Vec<String>> = references.iter().map(|reference| tokens_13a(reference)).collect();
        length += words.len();
        // Of the lengths that are equally near, the shorter.
        let nearest = |n: &usize| (n.abs_diff(words.len()), *n);
        due += references.iter().map(Vec::len).min_by_key(nearest).unwrap_or(0);
        for n in 1..=WORDS {
            let references: Vec<_> = references.iter().map(|reference| runs(reference, n)).collect();
            for (run, count) in runs(&words, n) {
                let most = references.iter().filter_map(|r| r.get(run)).max().copied().unwrap_or(0);
                right[n - 1] += count.min(most);
                all[n - 1] += count;
            }
        }
    }
    if right.iter().all(|&count| count == 0) {
        return 0.0;
    }

    // Where nothing of a length is right it counts as half a run, the next as a quarter (NIST's smoothing).
    let (mut logarithms, mut smooth) = (0.0, 1.0);
    for (&right, &all) in right.iter().zip(&all) {
        if all == 0 {
            return 0.0;
        }
        let precision = if right > 0 {
            right as f64 / all as f64
        } else {
            smooth *= 2.0;
            1.0 / (smooth * all as f64)
        };
        logarithms += precision.ln();
    }
    let brevity = if length < due { (1.0 - due as f64 / length as f64).exp() } else { 1.0 };
    100.0 * brevity * (logarithms / WORDS as f64).exp()
}

/// The F2 score of runs of letters: precision and recall are the means over the lengths of runs, and recall counts twice as
/// much.
pub fn chrf(hypotheses: &[String], references: &[Vec<String>]) -> f64 {
    let mut sums = [[0usize; 3]; LETTERS];
    for (hypothesis, references) in hypotheses.iter().zip(references) {
        // The reference that fits best counts; of equal ones the first.
        let mut best: Option<[[usize; 3]; LETTERS]> = None;
        for reference in references {
            let counts = common_letters(hypothesis, reference);
            if best.is_none_or(|best| f2(&counts) > f2(&best)) {
                best = Some(counts);
            }
        }
        for (sum, counts) in sums.iter_mut().flatten().zip(best.iter().flatten().flatten()) {
            *sum += counts;
        }
    }
    f2(&sums)
}

/// For each length: runs of the hypothesis, of the reference, and of both.
fn common_letters(hypothesis: &str, reference: &str) -> [[usize; 3]; LETTERS] {
    let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<Vec<char>>();
    let (hypothesis, reference) = (letters(hypothesis), letters(reference));
    std::array::from_fn(|i| {
        let (found, due) = (runs(&hypothesis, i + 1), runs(&reference, i + 1));
        let both = found.iter().map(|(run, &count)| count.min(due.get(run).copied().unwrap_or(0))).sum();
        // Where the reference is too short to have any, the hypothesis' do not count.
        let all = if due.is_empty() { 0 } else { found.values().sum() };
        [all, due.values().sum(), both]
    })
}

fn f2(counts: &[[usize; 3]; LETTERS]) -> f64 {
    let known: Vec<_> = counts.iter().filter(|[found, due, _]| *found > 0 && *due > 0).collect();
    let mean = |of: usize| {
        let shares = known.iter().map(|counts| counts[2] as f64 / counts[of] as f64);
        shares.sum::<f64>() / known.len().max(1) as f64
    };
    let (precision, recall) = (mean(0), mean(1));
    if precision + recall == 0.0 {
        0.0
    } else {
        100.0 * 5.0 * precision * recall / (4.0 * precision + recall)
    }
}

/// How often each run of `n` is there.
fn runs<T: Eq + Hash>(all: &[T], n: usize) -> HashMap<&[T], usize> {
    let mut counts = HashMap::new();
    all.windows(n).for_each(|run| *counts.entry(run).or_insert(0) += 1);
    counts
}

/// Words and marks as mteval-v13a takes them apart.
fn tokens_13a(text: &str) -> Vec<String> {
    let text = text.trim_end().replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    let text = text.replace("&quot;", "\"").replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">");
    let is_mark = |c: char| matches!(c, ' '..='&' | '('..='+' | '/' | ':'..='@' | '['..='`' | '{'..='~');
    let apart = |c: char| if is_mark(c) { vec![' ', c, ' '] } else { vec![c] };
    let text: Vec<char> = format!(" {text} ").chars().flat_map(apart).collect();
    // Dots and commas stay within numbers only; a dash behind a digit stands alone.
    let is_dot = |c: char| c == '.' || c == ',';
    let is_digit = |c: char| c.is_ascii_digit();
    let text = pairs(&text, |a, b| !is_digit(a) && is_dot(b), |a, b| [a, ' ', b, ' ']);
    let text = pairs(&text, |a, b| is_dot(a) && !is_digit(b), |a, b| [' ', a, ' ', b]);
    let text = pairs(&text, |a, b| is_digit(a) && b == '-', |a, b| [a, ' ', b, ' ']);
    text.iter().collect::<String>().split_whitespace().map(str::to_string).collect()
}

/// Puts something else for each pair that fits, from left to right; pairs do not overlap.
fn pairs(
    text: &[char],
    fits: impl Fn(char, char) -> bool,
    other: impl Fn(char, char) -> [char; 4],
) -> Vec<char> {
    let (mut out, mut i) = (Vec::with_capacity(2 * text.len()), 0);
    while i < text.len() {
        match text.get(i + 1) {
            Some(&next) if fits(text[i], next) => {
                out.extend(other(text[i], next));
                i += 2;
            }
            _ => {
                out.push(text[i]);
                i += 1;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    // import sacrebleu
    // h = [...]; r = [...]                       # as below
    // columns = [[refs[i] if i < len(refs) else None for refs in r] for i in range(2)]
    // sacrebleu.metrics.BLEU().corpus_score(h, columns).score, sacrebleu.metrics.CHRF().corpus_score(h, columns).score
    // and of each sentence alone: corpus_score(h[i:i+1], [[ref] for ref in r[i]])
    #[test]
    fn scores_are_those_of_sacrebleu() {
        let h = [
            "j'ai mangé une pomme rouge.",
            "le chat est sur la table, je crois.",
            "oui !",
            "",
            "il a payé 3,50 euros le 12-10.",
            "je ne sais pas du tout",
        ]
        .map(str::to_string);
        let r: Vec<Vec<String>> = [
            vec!["j'ai mangé une pomme rouge.", "je mangeais la pomme rouge."],
            vec!["le chat est sur le tapis, je crois."],
            vec!["oui.", "mais oui !"],
            vec!["rien."],
            vec!["il paya 3,50 euros le 12-10."],
            vec!["je n'en sais rien", "je ne sais pas"],
        ]
        .map(|r: Vec<&str>| r.into_iter().map(str::to_string).collect())
        .to_vec();
        let close =
            |actual: f64, expected: f64| assert!((actual - expected).abs() < 1e-9, "{actual} {expected}");
        close(bleu(&h, &r), 65.70336434465307);
        close(chrf(&h, &r), 79.21798880100064);
        let alone = [
            (100.00000000000004, 100.0),
            (52.53819788848316, 69.0842018957961),
            (0.0, 47.91666666666667),
            (0.0, 0.0),
            (66.06328636027612, 77.19095536175506),
            (50.81327481546149, 87.36412646821265),
        ];
        for (i, (by_words, by_letters)) in alone.into_iter().enumerate() {
            close(bleu(&h[i..=i], &r[i..=i]), by_words);
            close(chrf(&h[i..=i], &r[i..=i]), by_letters);
        }
    }

    #[test]
    fn words_are_those_of_sacrebleu() {
        // sacrebleu.tokenizers.tokenizer_13a.Tokenizer13a()(text)
        let cases = [
            ("Hello, world!", "Hello , world !"),
            ("It costs 1,000.50 (or 3.5%) - really...", "It costs 1,000.50 ( or 3.5 % ) - really . . ."),
            ("a.b, 5.c 6-7 x-y", "a . b , 5 . c 6 - 7 x-y"),
            ("&quot;J'ai&amp;toi&quot; [été] {là} ~ ^ _ `", "\" J'ai & toi \" [ été ] { là } ~ ^ _ `"),
            ("1.,2 .5 ,,. 3-", "1 . , 2 . 5 , , . 3 -"),
            ("  ", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(tokens_13a(text).join(" "), expected);
        }
    }
}
