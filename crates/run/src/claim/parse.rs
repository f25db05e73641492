//! Reading a claim: a recursive descent over its characters.

use std::str::FromStr;

use super::{Claim, ClaimError, Expression, Operator, Relation};

/// Nesting deeper than this is refused rather than overflowing the stack.
const MAX_DEPTH: usize = 100;

const RELATIONS: [(&str, Relation); 6] = [
    ("<=", Relation::LessOrEqual),
    (">=", Relation::GreaterOrEqual),
    ("==", Relation::Equal),
    ("!=", Relation::NotEqual),
    ("<", Relation::Less),
    (">", Relation::Greater),
];

impl FromStr for Claim {
    type Err = ClaimError;

    fn from_str(text: &str) -> Result<Claim, ClaimError> {
        let mut parser = Parser { rest: text, depth: 0 };
        parser
            .claim()
            .map_err(|problem| ClaimError::Syntax {
                claim: text.into(),
                position: text[..text.len() - parser.rest.len()].chars().count() + 1,
                problem,
            })
            .map(|(left, relation, right)| Claim {
                text: text.trim().into(),
                left,
                relation,
                right,
            })
    }
}

struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

/// A problem at the parser's position.
type Parsed<T> = Result<T, String>;

impl Parser<'_> {
    fn claim(&mut self) -> Parsed<(Expression, Relation, Expression)> {
        let left = self.sum()?;
        let relation = self.relation()?;
        let right = self.sum()?;
        if self.rest.is_empty() {
            Ok((left, relation, right))
        } else {
            Err(self.unexpected("the end"))
        }
    }

    fn relation(&mut self) -> Parsed<Relation> {
        let found = RELATIONS.iter().find(|(token, _)| self.take(token));
        found
            .map(|(_, relation)| *relation)
            .ok_or_else(|| self.unexpected("one of < <= > >= == !="))
    }

    fn sum(&mut self) -> Parsed<Expression> {
        let mut left = self.product()?;
        loop {
            let operator = if self.take("+") {
                Operator::Add
            } else if self.take("-") {
                Operator::Subtract
            } else {
                return Ok(left);
            };
            left = Expression::Binary(operator, Box::new(left), Box::new(self.product()?));
        }
    }

    fn product(&mut self) -> Parsed<Expression> {
        let mut left = self.factor()?;
        loop {
            let operator = if self.take("*") {
                Operator::Multiply
            } else if self.take("/") {
                Operator::Divide
            } else {
                return Ok(left);
            };
            left = Expression::Binary(operator, Box::new(left), Box::new(self.factor()?));
        }
    }

    fn factor(&mut self) -> Parsed<Expression> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("too deeply nested".into());
        }
        let factor = self.factor_at_depth();
        self.depth -= 1;
        factor
    }

    fn factor_at_depth(&mut self) -> Parsed<Expression> {
        if self.take("-") {
            return Ok(Expression::Negative(Box::new(self.factor()?)));
        }
        if self.take("(") {
            return self.closed_sum();
        }
        if self.take("`") {
            return self.quoted();
        }
        match self.rest.chars().next() {
            Some(c) if c.is_ascii_digit() || c == '.' => self.number(),
            Some(c) if c.is_alphabetic() || c == '_' => self.word(),
            _ => Err(self.unexpected("a number or a figure")),
        }
    }

    fn closed_sum(&mut self) -> Parsed<Expression> {
        let inner = self.sum()?;
        if self.take(")") { Ok(inner) } else { Err(self.unexpected("`)`")) }
    }

    fn quoted(&mut self) -> Parsed<Expression> {
        let end =
            self.rest.find('`').filter(|&end| end > 0).ok_or("a name in backticks does not end")?;
        let name = self.rest[..end].to_owned();
        self.skip(end + 1);
        Ok(Expression::Figure(name))
    }

    fn number(&mut self) -> Parsed<Expression> {
        let bytes = self.rest.as_bytes();
        let digits = |from: usize| {
            bytes[from..].iter().take_while(|b| b.is_ascii_digit() || **b == b'.').count()
        };
        let mut end = digits(0);
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            let exponent =
                bytes[end + 1 + sign..].iter().take_while(|b| b.is_ascii_digit()).count();
            if exponent > 0 {
                end += 1 + sign + exponent;
            }
        }
        let text = &self.rest[..end];
        let value = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
        self.skip(end);
        Ok(Expression::Number(value))
    }

    fn word(&mut self) -> Parsed<Expression> {
        let part = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
        let end = self.rest.find(|c| !part(c)).unwrap_or(self.rest.len());
        let name = &self.rest[..end];
        if name.ends_with('.') || name.contains("..") {
            return Err(format!("`{name}` is not the name of a figure"));
        }
        let name = name.to_owned();
        self.skip(end);
        if name == "abs" && self.take("(") {
            return Ok(Expression::Absolute(Box::new(self.closed_sum()?)));
        }
        Ok(Expression::Figure(name))
    }

    /// Takes `token` and the space around it.
    fn take(&mut self, token: &str) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(token) {
            // The space inside backticks belongs to the name.
            Some(rest) => {
                self.rest = if token == "`" { rest } else { rest.trim_start() };
                true
            }
            None => false,
        }
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest[bytes..].trim_start();
    }

    fn unexpected(&self, expected: &str) -> String {
        match self.rest.chars().next() {
            Some(c) => format!("expected {expected}, found `{c}`"),
            None => format!("expected {expected}, found the end"),
        }
    }
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;
    use proptest::prelude::*;

    use super::*;

    fn problem(text: &str) -> String {
        text.parse::<Claim>().unwrap_err().to_string()
    }

    #[test]
    fn syntax_errors_say_where() {
        assert!(
            problem("a >").contains("expected a number or a figure, found the end, at character 4")
        );
        assert!(
            problem("a + 1")
                .contains("expected one of < <= > >= == !=, found the end, at character 6")
        );
        assert!(problem("(a < 2").contains("expected `)`, found `<`, at character 4"));
        assert!(problem("a < 2 3").contains("expected the end, found `3`, at character 7"));
        assert!(problem("a = 2").contains("found `=`"));
        assert!(problem("a. < 2").contains("`a.` is not the name of a figure"));
        assert!(problem("1.2.3 < 2").contains("`1.2.3` is not a number"));
        assert!(problem("`a < 2").contains("does not end"));
        assert!(problem(&format!("{}1 < 2", "(".repeat(1000))).contains("too deeply nested"));
        assert!(problem("").contains("found the end, at character 1"));
    }

    #[test]
    fn products_bind_tighter_and_the_left_goes_first() {
        let value = |text: &str| {
            format!("{text} > 0").parse::<Claim>().unwrap().evaluate(&IndexMap::new()).left
        };
        assert_eq!(value("1 + 2 * 3"), 7.0);
        assert_eq!(value("10 - 2 - 3"), 5.0);
        assert_eq!(value("12 / 2 / 3"), 2.0);
        assert_eq!(value("-(1 - 3) * 2"), 4.0);
        assert_eq!(value("2 * -3"), -6.0);
        assert_eq!(value("abs(-1.5e-2)"), 0.015);
        assert_eq!(value(".5 + 1e2"), 100.5);
    }

    /// Text of an expression together with its value.
    fn expression() -> impl Strategy<Value = (String, f64)> {
        let number = (0.0..100.0f64).prop_map(|x| (format!("{x:?}"), x));
        number.prop_recursive(5, 40, 2, |inner| {
            prop_oneof![
                (inner.clone(), inner.clone())
                    .prop_map(|((a, x), (b, y))| (format!("({a}+ {b})"), x + y)),
                (inner.clone(), inner.clone())
                    .prop_map(|((a, x), (b, y))| (format!("( {a} -{b})"), x - y)),
                (inner.clone(), inner.clone())
                    .prop_map(|((a, x), (b, y))| (format!("({a}) * ({b})"), x * y))
                    .prop_map(|(text, value)| (format!("({text})"), value)),
                (inner.clone(), inner.clone())
                    .prop_map(|((a, x), (b, y))| (format!("({a}/{b})"), x / y)),
                inner.clone().prop_map(|(a, x)| (format!("-{a}"), -x)),
                inner.prop_map(|(a, x)| (format!("abs( {a} )"), x.abs())),
            ]
        })
    }

    proptest! {
        #[test]
        fn arithmetic_is_that_of_rust((text, value) in expression(), bound in -10.0..10.0f64) {
            let claim: Claim = format!("{text} >= {bound:?}").parse().unwrap();
            let result = claim.evaluate(&IndexMap::new());
            prop_assert!(result.left == value || (result.left.is_nan() && value.is_nan()));
            prop_assert_eq!(result.holds, value >= bound);
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = text.parse::<Claim>();
        }

        #[test]
        fn no_claim_like_text_panics(text in "[a-c0-9.e`()<>=!+*/ -]{0,30}") {
            let _ = text.parse::<Claim>();
        }
    }
}
