//! Translates short English sentences to French (many-to-many by encoder and decoder):
//!
//! ```text
//! cargo run --release --example translate -- ../shared/data/tatoeba_eng_fra/eng-fra.tsv --say "I am tired."
//! ```
//!
//! Each line of the file is `English TAB French`. A bidirectional encoder reads the English words, a decoder writes the French
//! ones and looks back at those that it needs; the formulas are in `src/nn/seq2seq.rs` and `src/nn/attention.rs`. A beam search
//! looks for the likeliest translation. Every tenth English sentence is for the test, with all its translations. With `--quick`
//! it learns a small grammar in seconds.

#[path = "../common/mod.rs"]
mod common;
mod metrics;
mod text;

use std::path::PathBuf;
use std::process::ExitCode;

use candle_core::{Device, Tensor};
use candle_nn::loss::cross_entropy;
use clap::Parser;
use percept::nn::CellKind;
use percept::nn::attention::Score;
use percept::nn::decode::BeamSearch;
use percept::nn::seq2seq::{EncoderDecoder, EncoderDecoderConfig};
use percept::train::{Optimizer, TrainingConfig};
use percept::{Error, ErrorKind, Result};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use text::{END, Pair, START, Vocabulary, join, split};

/// Learns to translate, and translates.
#[derive(Parser)]
pub struct Args {
    /// Pairs of sentences: English TAB French on each line
    #[arg(required_unless_present = "quick")]
    pairs: Option<PathBuf>,
    /// A small network learns a small grammar
    #[arg(long, conflicts_with = "pairs")]
    quick: bool,
    /// Translate this sentence too; may be given several times
    #[arg(long)]
    say: Vec<String>,
    /// Times that every pair is seen
    #[arg(long, default_value_t = 20)]
    epochs: usize,
    /// Translations that are followed at a time
    #[arg(long, default_value_t = 5)]
    beam: usize,
    /// The larger, the longer the translations
    #[arg(long, default_value_t = 0.6)]
    length_penalty: f32,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What was reached on sentences that were not learned.
#[derive(Debug)]
pub struct Figures {
    pub bleu: f64,
    pub chrf: f64,
    /// The translations of `--say`.
    pub said: Vec<String>,
}

/// A network and its words.
struct Translator {
    network: EncoderDecoder,
    english: Vocabulary,
    french: Vocabulary,
    beam: BeamSearch,
}

/// A translation: words, and how much of each word of the source was looked at for each of them and for the end.
struct Translation {
    words: Vec<String>,
    attention: Vec<Vec<f32>>,
}

#[allow(dead_code, reason = "tests/examples.rs takes in this file as a module")]
fn main() -> ExitCode {
    common::exit_code(run(&Args::parse()))
}

pub fn run(args: &Args) -> Result<Figures> {
    let pairs = match &args.pairs {
        Some(path) => text::read(path)?,
        None => text::grammar(),
    };
    let part = |is_test: bool| {
        let dealt = pairs.iter().enumerate().filter(move |(i, _)| (i % 10 == 0) == is_test);
        dealt.map(|(_, pair)| pair.clone()).collect::<Vec<Pair>>()
    };
    let (train, test) = (part(false), part(true));
    let translator = learn(args, &train)?;

    let mut hypotheses = Vec::new();
    for (i, Pair { english, french }) in test.iter().enumerate() {
        let hypothesis = join(&translator.translate(english)?.words);
        // Ten from all over the test.
        if i % (test.len() / 10).max(1) == 0 {
            println!("{english} -> {hypothesis}   ({})", french[0]);
        }
        hypotheses.push(hypothesis);
    }
    // In small letters, with plain spaces, as the hypotheses are.
    let plain = |french: &String| join(&split(french));
    let references: Vec<Vec<String>> =
        test.iter().map(|pair| pair.french.iter().map(plain).collect()).collect();
    let bleu = metrics::bleu(&hypotheses, &references);
    let chrf = metrics::chrf(&hypotheses, &references);
    println!("{} test sentences: BLEU {bleu:.2}, chrF {chrf:.2}", test.len());

    let mut said = Vec::new();
    for sentence in &args.say {
        let translation = translator.translate(sentence)?;
        println!(
            "\n{sentence} -> {}\n{}",
            join(&translation.words),
            heat_map(&split(sentence), &translation)
        );
        said.push(join(&translation.words));
    }
    Ok(Figures { bleu, chrf, said })
}

fn learn(args: &Args, train: &[Pair]) -> Result<Translator> {
    let english =
        Vocabulary::new(train.iter().flat_map(|pair| std::iter::repeat_n(&pair.english, pair.french.len())));
    let french = Vocabulary::new(train.iter().flat_map(|pair| &pair.french));
    let numbers = |pair: &Pair| -> Vec<(Vec<u32>, Vec<u32>)> {
        let source = english.numbers(&pair.english);
        pair.french.iter().map(|target| (source.clone(), french.numbers(target))).collect()
    };
    let mut pairs: Vec<(Vec<u32>, Vec<u32>)> = train.iter().flat_map(numbers).collect();

    let (size, batch_size) = if args.quick { (32, 8) } else { (128, 32) };
    let config = EncoderDecoderConfig {
        source_symbols: english.len(),
        target_symbols: french.len(),
        embedding_size: size,
        cell: CellKind::Gru,
        hidden_size: size,
        num_layers: 1,
        score: Score::General,
        dropout: if args.quick { 0.1 } else { 0.0 },
    };
    let vars = EncoderDecoder::init(&config, args.seed)?;
    let weights = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
    let network = EncoderDecoder::new(&config, &weights)?;
    let training =
        TrainingConfig { learning_rate: if args.quick { 1e-2 } else { 3e-3 }, ..TrainingConfig::default() };
    let batches = pairs.len().div_ceil(batch_size);
    let mut optimizer = Optimizer::new(vars.clone(), &training, args.epochs * batches);
    println!("{} pairs, {} English and {} French words", pairs.len(), english.len(), french.len());

    let mut rng = ChaCha8Rng::seed_from_u64(args.seed);
    for epoch in 1..=args.epochs {
        pairs.shuffle(&mut rng);
        let mut sum = 0.0;
        for batch in pairs.chunks(batch_size) {
            let loss = loss(&network, batch, &mut rng)?;
            sum += f64::from(loss.to_scalar::<f32>()?);
            common::learn_from(&loss, &mut optimizer)?;
        }
        println!("epoch {epoch:2}  loss {:.3}", sum / batches as f64);
    }

    let learned = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().detach())).collect();
    let network = EncoderDecoder::new(&config, &learned)?;
    let beam = BeamSearch { width: args.beam, max_length: 20, length_penalty: args.length_penalty, end: END };
    Ok(Translator { network, english, french, beam })
}

/// The mean over all words of the targets, their ends too, where the decoder is told the words before.
fn loss(network: &EncoderDecoder, pairs: &[(Vec<u32>, Vec<u32>)], rng: &mut ChaCha8Rng) -> Result<Tensor> {
    let sources: Vec<Vec<u32>> = pairs.iter().map(|(source, _)| source.clone()).collect();
    let told: Vec<Vec<u32>> =
        pairs.iter().map(|(_, target)| [&[START], target.as_slice()].concat()).collect();
    let due: Vec<u32> = pairs.iter().flat_map(|(_, target)| [target.as_slice(), &[END]].concat()).collect();
    let encoded = network.encode(&sources, Some(rng))?;
    let logits = network.decode(&encoded, &encoded.state, &told, Some(rng))?.logits;
    // Those of all targets one after the other, without what fills them up.
    let longest = logits.dim(1)?;
    let rows =
        told.iter().enumerate().flat_map(|(b, told)| (0..told.len()).map(move |t| (b * longest + t) as u32));
    let rows = Tensor::from_iter(rows, &Device::Cpu)?;
    let logits = logits.flatten(0, 1)?.index_select(&rows, 0)?;
    Ok(cross_entropy(&logits, &Tensor::new(due, &Device::Cpu)?)?)
}

impl Translator {
    fn translate(&self, sentence: &str) -> Result<Translation> {
        let source = self.english.numbers(sentence);
        if source.is_empty() {
            return Err(Error::new(ErrorKind::Config, "a sentence without words; give at least one (--say)"));
        }
        // The best first; there is always one.
        let best = self.network.search(&source, START, self.beam)?.swap_remove(0);
        let words = self.french.words(&best.symbols).into_iter().map(str::to_string).collect();
        Ok(Translation { words, attention: best.state })
    }
}

/// A row for each word that was written: the darker, the more the word above the column was looked at.
fn heat_map(source: &[String], translation: &Translation) -> String {
    const SHADES: [char; 5] = [' ', '░', '▒', '▓', '█'];
    let margin = translation.words.iter().map(|word| word.chars().count()).max().unwrap_or(0).max(3);
    let mut lines = vec![format!("{:margin$}  {}", "", source.join(" "))];
    let written = translation.words.iter().map(String::as_str).chain(["end"]);
    for (word, row) in written.zip(&translation.attention) {
        let cells = source.iter().zip(row).map(|(word, share)| {
            let shade = SHADES[((share * 5.0) as usize).min(4)];
            shade.to_string().repeat(word.chars().count())
        });
        lines.push(format!("{word:>margin$}  {}", cells.collect::<Vec<_>>().join(" ")));
    }
    lines.join("\n")
}
