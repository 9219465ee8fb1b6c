//! Logits -> decisions.
