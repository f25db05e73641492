//! `#[derive(Tree)]`.
use proc_macro::TokenStream;
/// Placeholder until the derive lands.
#[proc_macro_derive(Tree, attributes(tree))]
pub fn derive_tree(_: TokenStream) -> TokenStream {
    TokenStream::new()
}
