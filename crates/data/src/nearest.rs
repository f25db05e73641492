//! The nearest of the names that would have been right.

/// The name of `known` most like `name`, if any is near enough to be a slip of the fingers.
///
/// ```
/// let known = ["digits", "diabetes"];
/// assert_eq!(lisse_data::nearest("digit", known), Some("digits"));
/// assert_eq!(lisse_data::nearest("cifar", known), None);
/// ```
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let asked = name.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&asked, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| {
            // Two in five letters wrong is still a slip; more is another word.
            5 * distance <= 2 * candidate.chars().count().max(asked.chars().count())
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `did you mean ..?` or, where nothing is near, what there is.
pub(crate) fn advice(name: &str, known: &[String]) -> String {
    /// More names than this would bury the message.
    const SHOWN: usize = 12;
    if let Some(near) = nearest(name, known.iter().map(String::as_str)) {
        return format!("did you mean `{near}`?");
    }
    if known.is_empty() {
        return "there are none".to_string();
    }
    let (shown, rest) = known.split_at(known.len().min(SHOWN));
    let list = shown.join(", ");
    if rest.is_empty() {
        return format!("there are {list}");
    }
    format!("there are {list}, and {} more", rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_names_the_nearest_or_lists_all() {
        let known = ["age".to_string(), "weight_kg".to_string()];
        assert_eq!(advice("colour", &known), "there are age, weight_kg");
        assert_eq!(advice("weigth_kg", &known), "did you mean `weight_kg`?");
        assert_eq!(advice("x", &[]), "there are none");
        let many: Vec<String> = (0..20).map(|i| format!("column_number_{i}")).collect();
        assert!(advice("y", &many).ends_with("column_number_11, and 8 more"));
    }
}
