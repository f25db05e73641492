//! What a run shows: pictures and tables, kept as JSON under `artefacts/`, drawn by the report.

use serde::{Deserialize, Serialize};

use crate::report::{Picture, Table};

/// A picture or a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Exhibit {
    Picture(Picture),
    Table(Table),
}

/// A name that is safe as a file name on any system.
pub(crate) fn file_name(name: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let name: String = name.chars().map(safe).collect();
    // No hidden files, and none that climb out of the folder.
    match name.trim_start_matches('.') {
        "" => "unnamed".into(),
        rest => rest.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::file_name;

    #[test]
    fn names_stay_in_their_folder() {
        assert_eq!(file_name("sam.loss_slice"), "sam.loss_slice");
        assert_eq!(file_name("../../etc/passwd"), "_.._etc_passwd");
        assert_eq!(file_name(".."), "unnamed");
        assert_eq!(file_name("a b"), "a_b");
    }
}
