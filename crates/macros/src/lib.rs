//! Derive macros of Lisse. Use them through `lisse::array` or `lisse_array`, which re-export them beside the trait.

mod attributes;
mod tree;

use proc_macro::TokenStream;

/// Derives `Tree`: the arrays inside a value, in the order its fields are declared.
///
/// Works on structs and enums, generic or not; the type must also be `Clone`. Every field must be a `Tree` itself, as
/// arrays, vectors, options, tuples, plain numbers and strings are. A field's name is its path segment, a tuple field's
/// its number; an enum visits the fields of its present variant, and a rebuilt value keeps the variant. A type parameter
/// used in a visited field is bound by `Tree`, any other by `Clone`.
///
/// On a field:
/// - `#[tree(skip)]`: not visited; a rebuilt value gets a clone. For fields that aren't trees.
/// - `#[tree(buffer)]`: its leaves are buffers, saved with the weights but not trained.
/// - `#[tree(rename = "weight")]`: this path segment in place of the field's name.
/// - `#[tree(flatten)]`: no path segment of its own.
///
/// On the type: `#[tree(crate = "path::to::lisse_array")]` where the crate that holds the trait is neither
/// `lisse-array` nor `lisse` in the manifest (as when a third crate re-exports it).
///
/// ```
/// use lisse_array::{Array, Tree};
///
/// #[derive(Clone, Tree)]
/// struct Linear {
///     weight: Array,
///     #[tree(rename = "offset")]
///     bias: Option<Array>,
///     #[tree(buffer)]
///     calls: Array,
/// }
///
/// let layer = Linear {
///     weight: Array::from_vec(vec![1.0, 2.0], &[2]),
///     bias: Some(Array::scalar(0.5)),
///     calls: Array::scalar(0.0),
/// };
/// let names: Vec<String> = layer.named_leaves().into_iter().map(|(name, _)| name).collect();
/// assert_eq!(names, ["weight", "offset", "calls"]);
/// ```
///
/// A word it doesn't know, or a union, is a compile error:
///
/// ```compile_fail
/// use lisse_array::{Array, Tree};
///
/// #[derive(Clone, Tree)]
/// struct Linear {
///     #[tree(ignore)]
///     weight: Array,
/// }
/// ```
#[proc_macro_derive(Tree, attributes(tree))]
pub fn derive_tree(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    tree::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}
