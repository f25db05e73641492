//! `#[derive(Tree)]`.

use proc_macro_crate::{FoundCrate, crate_name};
use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote};
use syn::ext::IdentExt;
use syn::visit::{self, Visit};
use syn::{
    Data, DeriveInput, Error, Field, Fields, Generics, Index, Member, Path, Result, TypePath,
    WherePredicate, parse_quote,
};

use crate::attributes::{FieldOptions, crate_path, refuse};

/// The implementation of `Tree` for `input`.
pub fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let krate = match crate_path(&input.attrs)? {
        Some(path) => quote!(#path),
        None => find_crate()?,
    };
    let variants = variants(input)?;
    let generics = bound(&input.generics, &variants, &krate);
    let (implementation, types, condition) = generics.split_for_impl();
    let name = &input.ident;
    let (visit, rebuild) = bodies(&variants, &krate);
    Ok(quote! {
        #[automatically_derived]
        #[allow(unused_variables, clippy::all, clippy::pedantic)]
        impl #implementation #krate::Tree for #name #types #condition {
            fn visit<'__tree>(
                &'__tree self,
                path: &mut #krate::Path,
                f: &mut dyn ::core::ops::FnMut(&#krate::Path, &'__tree #krate::Array),
            ) {
                #visit
            }

            fn rebuild(
                &self,
                path: &mut #krate::Path,
                f: &mut dyn ::core::ops::FnMut(&#krate::Path, &#krate::Array) -> #krate::Array,
            ) -> Self {
                #rebuild
            }
        }
    })
}

/// Where the trait lives for the crate being compiled: it, or the facade that re-exports it.
fn find_crate() -> Result<TokenStream> {
    let named = |found, own: &str| {
        let name = match found {
            FoundCrate::Itself => own.to_string(),
            FoundCrate::Name(name) => name,
        };
        Ident::new(&name, Span::call_site())
    };
    if let Ok(found) = crate_name("lisse-array") {
        let name = named(found, "lisse_array");
        Ok(quote!(::#name))
    } else if let Ok(found) = crate_name("lisse") {
        let name = named(found, "lisse");
        Ok(quote!(::#name::array))
    } else {
        Err(Error::new(
            Span::call_site(),
            "`derive(Tree)` finds neither `lisse` nor `lisse-array` among this crate's dependencies; add one, or name \
             the crate that holds the trait with `#[tree(crate = \"...\")]`",
        ))
    }
}

/// A struct, or one variant of an enum: how its pattern starts, and its fields.
struct Variant<'a> {
    path: Path,
    fields: Vec<TreeField<'a>>,
}

struct TreeField<'a> {
    field: &'a Field,
    member: Member,
    binding: Ident,
    options: FieldOptions,
}

fn variants(input: &DeriveInput) -> Result<Vec<Variant<'_>>> {
    match &input.data {
        Data::Struct(data) => {
            Ok(vec![Variant { path: parse_quote!(Self), fields: tree_fields(&data.fields)? }])
        }
        Data::Enum(data) => data
            .variants
            .iter()
            .map(|variant| {
                refuse(&variant.attrs, "a variant")?;
                let name = &variant.ident;
                Ok(Variant {
                    path: parse_quote!(Self::#name),
                    fields: tree_fields(&variant.fields)?,
                })
            })
            .collect(),
        Data::Union(data) => Err(Error::new_spanned(
            data.union_token,
            "`derive(Tree)` works on structs and enums: which field of a union is present cannot be known",
        )),
    }
}

fn tree_fields(fields: &Fields) -> Result<Vec<TreeField<'_>>> {
    fields
        .iter()
        .enumerate()
        .map(|(index, field)| {
            let (member, binding) = match &field.ident {
                Some(name) => (Member::from(name.clone()), format_ident!("__{}", name)),
                None => (Member::from(Index::from(index)), format_ident!("__{}", index)),
            };
            Ok(TreeField { field, member, binding, options: FieldOptions::read(field)? })
        })
        .collect()
}

/// The bodies of `visit` and `rebuild`.
fn bodies(variants: &[Variant<'_>], krate: &TokenStream) -> (TokenStream, TokenStream) {
    if variants.is_empty() {
        return (quote!(match *self {}), quote!(match *self {}));
    }
    let arms = |body: &dyn Fn(&Variant<'_>) -> TokenStream| {
        let arms = variants.iter().map(|variant| {
            let (path, body) = (&variant.path, body(variant));
            let members = variant.fields.iter().map(|field| &field.member);
            let bindings = variant.fields.iter().map(|field| &field.binding);
            quote!(#path { #(#members: #bindings),* } => { #body })
        });
        quote!(match self { #(#arms)* })
    };
    let visit = arms(&|variant| {
        let visits = variant.fields.iter().map(|field| field.visit(krate));
        quote!(#(#visits)*)
    });
    let rebuild = arms(&|variant| {
        let path = &variant.path;
        let members = variant.fields.iter().map(|field| &field.member);
        let values = variant.fields.iter().map(|field| field.rebuild(krate));
        quote!(#path { #(#members: #values),* })
    });
    (visit, rebuild)
}

impl TreeField<'_> {
    fn visit(&self, krate: &TokenStream) -> TokenStream {
        if self.options.skip {
            return TokenStream::new();
        }
        let binding = &self.binding;
        let (enter, leave) = self.segment(krate);
        quote! {
            #enter
            #krate::Tree::visit(#binding, path, f);
            #leave
        }
    }

    fn rebuild(&self, krate: &TokenStream) -> TokenStream {
        let binding = &self.binding;
        if self.options.skip {
            return quote!(::core::clone::Clone::clone(#binding));
        }
        let (enter, leave) = self.segment(krate);
        quote! {{
            #enter
            let rebuilt = #krate::Tree::rebuild(#binding, path, f);
            #leave
            rebuilt
        }}
    }

    /// Statements that add the field's path segment and take it away.
    fn segment(&self, krate: &TokenStream) -> (TokenStream, TokenStream) {
        if self.options.flatten {
            return (TokenStream::new(), TokenStream::new());
        }
        let segment = match (&self.options.rename, &self.member) {
            (Some(name), _) => quote!(#krate::Segment::Field(#name)),
            (None, Member::Named(name)) => {
                let name = name.unraw().to_string();
                quote!(#krate::Segment::Field(#name))
            }
            (None, Member::Unnamed(index)) => {
                let index = index.index as usize;
                quote!(#krate::Segment::Index(#index))
            }
        };
        let enter = if self.options.buffer {
            quote!(path.enter_buffer(#segment);)
        } else {
            quote!(path.enter(#segment);)
        };
        (enter, quote!(path.leave();))
    }
}

/// The generics with the bounds that the implementation needs: `Tree` for parameters in visited fields (and for what is
/// projected from them, as `P::State`), `Clone` for the rest.
fn bound(generics: &Generics, variants: &[Variant<'_>], krate: &TokenStream) -> Generics {
    let mut uses = Uses {
        parameters: generics.type_params().map(|parameter| (&parameter.ident, false)).collect(),
        projections: Vec::new(),
    };
    let fields = variants.iter().flat_map(|variant| &variant.fields);
    for field in fields.filter(|field| !field.options.skip) {
        uses.visit_type(&field.field.ty);
    }
    let mut predicates: Vec<WherePredicate> = Vec::new();
    for (parameter, visited) in &uses.parameters {
        predicates.push(if *visited {
            parse_quote!(#parameter: #krate::Tree)
        } else {
            parse_quote!(#parameter: ::core::clone::Clone)
        });
    }
    for projection in &uses.projections {
        predicates.push(parse_quote!(#projection: #krate::Tree));
    }
    let mut generics = generics.clone();
    if !predicates.is_empty() {
        generics.make_where_clause().predicates.extend(predicates);
    }
    generics
}

/// Which type parameters the visited fields mention.
struct Uses<'a> {
    parameters: Vec<(&'a Ident, bool)>,
    projections: Vec<TypePath>,
}

impl<'ast> Visit<'ast> for Uses<'_> {
    fn visit_type_path(&mut self, path: &'ast TypePath) {
        let first = path.path.segments.first().map(|segment| &segment.ident);
        let parameter = self
            .parameters
            .iter_mut()
            .find(|(parameter, _)| path.qself.is_none() && Some(*parameter) == first);
        match parameter {
            Some((_, visited)) if path.path.segments.len() == 1 => *visited = true,
            Some(_) => self.projections.push(path.clone()),
            None => {}
        }
        visit::visit_type_path(self, path);
    }
}

#[cfg(test)]
mod tests {
    use super::expand;
    use syn::{DeriveInput, parse_quote};

    fn refusal(input: DeriveInput) -> String {
        expand(&input).expect_err("must be refused").to_compile_error().to_string()
    }

    #[test]
    fn unions_are_refused() {
        let message = refusal(parse_quote! {
            #[tree(crate = "lisse_array")]
            union Either { a: u32, b: f32 }
        });
        assert!(message.contains("structs and enums"), "{message}");
    }

    #[test]
    fn unknown_words_are_named_with_the_known_ones() {
        let message = refusal(parse_quote! {
            #[tree(crate = "lisse_array")]
            struct Layer { #[tree(ignore)] weight: Array }
        });
        assert!(message.contains("does not know `ignore`"), "{message}");
        assert!(message.contains("`skip`, `buffer`"), "{message}");
    }

    #[test]
    fn field_words_are_refused_on_types_and_variants() {
        let on_type = refusal(parse_quote! {
            #[tree(skip)]
            struct Layer { weight: Array }
        });
        assert!(on_type.contains("belong on fields"), "{on_type}");
        let on_variant = refusal(parse_quote! {
            #[tree(crate = "lisse_array")]
            enum Layer { #[tree(skip)] Linear(Array) }
        });
        assert!(on_variant.contains("about a variant"), "{on_variant}");
    }

    #[test]
    fn contradictions_are_refused() {
        let message = refusal(parse_quote! {
            #[tree(crate = "lisse_array")]
            struct Layer { #[tree(skip, buffer)] weight: Array }
        });
        assert!(message.contains("nothing else can be said"), "{message}");
        let message = refusal(parse_quote! {
            #[tree(crate = "lisse_array")]
            struct Layer { #[tree(flatten, buffer)] weight: Array }
        });
        assert!(message.contains("neither renamed nor marked"), "{message}");
    }

    #[test]
    fn segments_with_dots_are_refused() {
        let message = refusal(parse_quote! {
            #[tree(crate = "lisse_array")]
            struct Layer { #[tree(rename = "a.b")] weight: Array }
        });
        assert!(message.contains("contain a dot"), "{message}");
    }

    #[test]
    fn bounds_follow_the_use_of_each_parameter() {
        let code = expand(&parse_quote! {
            #[tree(crate = "lisse_array")]
            struct Pair<T, S, P> { a: Vec<T>, #[tree(skip)] b: S, c: P::State }
        })
        .expect("a plain struct")
        .to_string();
        assert!(code.contains("T : lisse_array :: Tree"), "{code}");
        assert!(code.contains("S : :: core :: clone :: Clone"), "{code}");
        assert!(code.contains("P :: State : lisse_array :: Tree"), "{code}");
    }
}
