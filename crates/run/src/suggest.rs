//! "Did you mean": the valid name nearest to a wrong one.

/// The candidate nearest to `name`, if one is near enough to be a slip of the finger.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let likeness = |candidate: &str| {
        let (a, b) = (name.to_lowercase(), candidate.to_lowercase());
        // A part of a long name is a slip too: `digits` for `sharpness-digits`.
        let part = if a.len() >= 4 && b.contains(&a) { 0.6 } else { 0.0 };
        strsim::normalized_damerau_levenshtein(&a, &b).max(part)
    };
    candidates
        .into_iter()
        .map(|candidate| (likeness(candidate), candidate))
        .filter(|(score, _)| *score >= 0.5)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// The end of a sentence about a wrong name: the nearest valid one, and all of them if they are few.
pub(crate) fn hint<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    let near = nearest(name, candidates.iter().copied());
    let mut text = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    if !candidates.is_empty() && (near.is_none() || candidates.len() <= 12) {
        let start = if text.is_empty() { "; valid names: " } else { " Valid names: " };
        text.push_str(start);
        text.push_str(&candidates.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_find_their_name() {
        let names = ["rho", "momentum", "learning_rate"];
        assert_eq!(nearest("rhoo", names), Some("rho"));
        assert_eq!(nearest("momentun", names), Some("momentum"));
        assert_eq!(nearest("Learning-rate", names), Some("learning_rate"));
        assert_eq!(nearest("zebra", names), None);
        assert_eq!(nearest("digits", ["sharpness-digits"]), Some("sharpness-digits"));
    }

    #[test]
    fn hints_list_valid_names_when_nothing_is_near() {
        assert_eq!(hint("zebra", ["rho", "momentum"]), "; valid names: rho, momentum");
        assert_eq!(hint("roh", ["rho"]), "; did you mean `rho`? Valid names: rho");
        assert_eq!(hint("x", []), "");
    }
}
