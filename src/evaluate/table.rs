//! An evaluation as text for people.

use std::fmt::Write as _;

use super::Evaluation;
use crate::error::one_line;
use crate::output::percent::percent;

/// With more labels than this, the confusion matrix gives way to a list of the commonest confusions.
const MAX_MATRIX: usize = 20;
/// Lines in that list.
const MAX_CONFUSIONS: usize = 15;
/// Failures that are listed.
const MAX_FAILURES: usize = 20;
/// Widest label that is shown whole, in characters.
const MAX_LABEL_WIDTH: usize = 24;

impl Evaluation {
    /// Several lines: the summary, one line a label, the confusions, the failures.
    pub fn table(&self) -> String {
        let mut text = self.summary();
        text.push('\n');
        self.write_classes(&mut text);
        match self.occurring().len() {
            0..=MAX_MATRIX => self.write_matrix(&mut text),
            _ => self.write_confusions(&mut text),
        }
        self.write_failures(&mut text);
        text
    }

    fn summary(&self) -> String {
        let [low, high] = self.accuracy_interval_95.map(|v| 100.0 * v);
        let mut text = format!(
            "accuracy   {:.1} % [{low:.1}, {high:.1}] (95% interval): {} of {} clips are right\n",
            100.0 * self.accuracy,
            self.correct,
            self.clips
        );
        let _ = writeln!(
            text,
            "chance     {:.1} %, by always saying what is commonest here",
            100.0 * self.majority_accuracy
        );
        let _ = writeln!(text, "macro F1   {}", percent(self.macro_f1));
        if let Some(loss) = self.log_loss {
            let _ = writeln!(text, "log loss   {loss:.4}");
        }
        text
    }

    fn write_classes(&self, text: &mut String) {
        let occurring = self.occurring();
        let width = self.label_width(&occurring).max("label".len());
        let _ = writeln!(text, "{:width$}  precision    recall        F1  clips", "label");
        for &k in &occurring {
            let class = &self.classes[k];
            let _ = writeln!(
                text,
                "{:width$}  {:>9} {:>9} {:>9}  {:>5}",
                self.shown_label(k),
                percent(class.precision),
                percent(class.recall),
                percent(class.f1),
                class.support
            );
        }
        let absent = self.classes.len() - occurring.len();
        if absent > 0 {
            let _ = writeln!(
                text,
                "({absent} more labels of the model occur neither in truth nor in prediction)"
            );
        }
    }

    fn write_matrix(&self, text: &mut String) {
        let occurring = self.occurring();
        let width = self.label_width(&occurring);
        let largest = self.confusion.iter().flatten().max().copied().unwrap_or(0);
        // Columns are numbered, as their labels would not fit above them.
        let number = occurring.len().to_string().len();
        let cell = largest.to_string().len().max(number) + 1;
        let _ = writeln!(text, "\nconfusions: a row is what is true, a column what was said");
        let _ = write!(text, "{:indent$}", "", indent = number + 1 + width + 1);
        for k in 1..=occurring.len() {
            let _ = write!(text, "{k:>cell$}");
        }
        text.push('\n');
        for (row, &truth) in occurring.iter().enumerate() {
            let _ = write!(text, "{:>number$} {:width$} ", row + 1, self.shown_label(truth));
            for &said in &occurring {
                match self.confusion[truth][said] {
                    0 => _ = write!(text, "{:>cell$}", "."),
                    n => _ = write!(text, "{n:>cell$}"),
                }
            }
            text.push('\n');
        }
    }

    fn write_confusions(&self, text: &mut String) {
        let mut wrong: Vec<(usize, usize, usize)> = Vec::new();
        for (truth, row) in self.confusion.iter().enumerate() {
            let off_diagonal = row.iter().enumerate().filter(|&(said, &n)| said != truth && n > 0);
            wrong.extend(off_diagonal.map(|(said, &n)| (n, truth, said)));
        }
        if wrong.is_empty() {
            return;
        }
        // The sort is stable: equals stay in the order of the labels.
        wrong.sort_by_key(|&(n, ..)| std::cmp::Reverse(n));
        let _ = writeln!(text, "\nthe commonest confusions");
        for &(n, truth, said) in wrong.iter().take(MAX_CONFUSIONS) {
            let name = |k: usize| one_line(&self.classes[k].label);
            let _ = writeln!(text, "{n:>6}  {} was taken for {}", name(truth), name(said));
        }
        if wrong.len() > MAX_CONFUSIONS {
            let _ =
                writeln!(text, "        and {} more pairs; the JSON has them", wrong.len() - MAX_CONFUSIONS);
        }
    }

    fn write_failures(&self, text: &mut String) {
        if self.failures.is_empty() {
            return;
        }
        let _ = writeln!(text, "\n{} files could not be read and count nowhere", self.failures.len());
        for failure in self.failures.iter().take(MAX_FAILURES) {
            let _ = writeln!(text, "  {}", one_line(&failure.to_string()));
        }
        if self.failures.len() > MAX_FAILURES {
            let _ = writeln!(text, "  and {} more; the JSON has them", self.failures.len() - MAX_FAILURES);
        }
    }

    /// The labels that occur in truth or prediction: a model may know many more than a data set has.
    fn occurring(&self) -> Vec<usize> {
        (0..self.classes.len()).filter(|&k| self.classes[k].f1.is_some()).collect()
    }

    fn shown_label(&self, k: usize) -> String {
        shorten(&one_line(&self.classes[k].label))
    }

    fn label_width(&self, labels: &[usize]) -> usize {
        labels.iter().map(|&k| self.shown_label(k).chars().count()).max().unwrap_or(0)
    }
}

fn shorten(label: &str) -> String {
    match label.char_indices().nth(MAX_LABEL_WIDTH) {
        None => label.to_string(),
        Some(_) => label.chars().take(MAX_LABEL_WIDTH - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::Failure;
    use crate::{Error, ErrorKind};

    #[test]
    fn the_table_is_aligned_and_whole() {
        let labels = ["cat".to_string(), "dog".to_string(), "unheard".to_string()];
        let mut result = Evaluation::new(&labels, &[0, 0, 0, 1], &[0, 0, 1, 1], None).unwrap();
        let error = Error::new(ErrorKind::Empty, "holds nothing").with_path("x.wav");
        result.failures.push(Failure::new("x.wav".as_ref(), &error));
        assert_eq!(
            result.table(),
            "\
accuracy   75.0 % [30.1, 95.4] (95% interval): 3 of 4 clips are right
chance     75.0 %, by always saying what is commonest here
macro F1   73.3 %

label  precision    recall        F1  clips
cat      100.0 %    66.7 %    80.0 %      3
dog       50.0 %   100.0 %    66.7 %      1
(1 more labels of the model occur neither in truth nor in prediction)

confusions: a row is what is true, a column what was said
       1 2
1 cat  2 1
2 dog  . 1

1 files could not be read and count nowhere
  x.wav: holds nothing
"
        );
    }

    #[test]
    fn many_labels_give_the_commonest_confusions() {
        let labels: Vec<String> = (0..30).map(|k| format!("label{k}")).collect();
        let truth: Vec<usize> = (0..60).map(|i| i % 30).collect();
        let said: Vec<usize> = truth.iter().map(|&k| if k < 20 { (k + 1) % 30 } else { k }).collect();
        let text = Evaluation::new(&labels, &truth, &said, None).unwrap().table();
        assert!(text.contains("     2  label0 was taken for label1\n"), "{text}");
        assert!(text.contains("and 5 more pairs"), "{text}");
    }

    #[test]
    fn a_long_label_is_cut() {
        assert_eq!(shorten(&"é".repeat(30)).chars().count(), MAX_LABEL_WIDTH);
        assert_eq!(shorten("short"), "short");
    }
}
