//! Shares of 1 as people read them.

/// `93.5 %`; `-` for what is not known.
pub(crate) fn percent(share: impl Into<Option<f64>>) -> String {
    share.into().map_or("-".into(), |share| format!("{:.1} %", 100.0 * share))
}

/// With what it lies between: `93.5 % [92.2, 95.0]`.
pub(crate) fn percent_within(share: impl Into<Option<f64>>, interval: Option<[f64; 2]>) -> String {
    let within =
        interval.map_or(String::new(), |[low, high]| format!(" [{:.1}, {:.1}]", 100.0 * low, 100.0 * high));
    percent(share) + &within
}
