//! A composed text as the compiler understands it: whether it is one, and whether two of them are the same program.

use naga::compact::{KeepUnused, compact};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{Block, Expression, Function, Handle, Literal, Module, Statement};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A number that texts of the same program share: layout, names of constants, functions that nobody calls, what stands
/// under an `if (false)` and sums of constants are no difference.
///
/// # Errors
/// Why the text does not compile. What the device lacks is not asked here.
pub fn program(text: &str) -> Result<u64, String> {
    let mut module = naga::front::wgsl::parse_str(text).map_err(|error| error.message().to_owned())?;
    let mut validator = Validator::new(ValidationFlags::all(), Capabilities::all());
    validator.validate(&module).map_err(|error| error.as_inner().to_string())?;
    for (_, constant) in module.constants.iter_mut() {
        constant.name = None;
    }
    // A number is the same whether it has a name or was computed from one that has.
    let values: HashMap<_, _> = module
        .constants
        .iter()
        .filter_map(|(handle, constant)| match module.global_expressions[constant.init] {
            Expression::Literal(value) => Some((handle, value)),
            _ => None,
        })
        .collect();
    for function in functions(&mut module) {
        function.named_expressions.clear();
        for (_, expression) in function.expressions.iter_mut() {
            if let Expression::Constant(constant) = expression
                && let Some(value) = values.get(constant)
            {
                *expression = Expression::Literal(*value);
            }
        }
        simplify(function);
    }
    compact(&mut module, KeepUnused::No);
    functions(&mut module).for_each(simplify);
    let mut hasher = DefaultHasher::new();
    format!("{module:?}").hash(&mut hasher);
    Ok(hasher.finish())
}

fn functions(module: &mut Module) -> impl Iterator<Item = &mut Function> {
    let entry_points = module.entry_points.iter_mut().map(|entry| &mut entry.function);
    module.functions.iter_mut().map(|(_, function)| function).chain(entry_points)
}

/// Forgets the places of statements, and takes the one branch that a constant condition leaves.
fn simplify(function: &mut Function) {
    let body = std::mem::take(&mut function.body);
    function.body = taken(body, function);
}

fn taken(block: Block, function: &Function) -> Block {
    let mut kept = Vec::new();
    for statement in block.iter().cloned() {
        match statement {
            Statement::If { condition, accept, reject } => {
                let (accept, reject) = (taken(accept, function), taken(reject, function));
                match constant(condition, function) {
                    Some(true) => kept.push(Statement::Block(accept)),
                    Some(false) => kept.push(Statement::Block(reject)),
                    None => kept.push(Statement::If { condition, accept, reject }),
                }
            }
            Statement::Block(block) => kept.push(Statement::Block(taken(block, function))),
            Statement::Loop { body, continuing, break_if } => {
                let (body, continuing) = (taken(body, function), taken(continuing, function));
                kept.push(Statement::Loop { body, continuing, break_if });
            }
            // What was there to be computed has been left out.
            Statement::Emit(range) if range.clone().next().is_none() => {}
            other => kept.push(other),
        }
    }
    Block::from_vec(kept)
}

/// The value of a condition that is known before the program runs.
fn constant(condition: Handle<Expression>, function: &Function) -> Option<bool> {
    match function.expressions[condition] {
        Expression::Literal(Literal::Bool(value)) => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::program;

    fn of(body: &str) -> u64 {
        program(&format!(
            "@group(0) @binding(0) var<storage, read_write> y: array<u32>;
             const N: u32 = 4u; const SURE: bool = false; const OTHER: f32 = 2.0;
             fn unused() -> u32 {{ return 7u; }}
             @compute @workgroup_size(1) fn f(@builtin(local_invocation_index) i: u32) {{ {body} }}"
        ))
        .unwrap()
    }

    #[test]
    fn what_makes_no_difference_is_none() {
        let plain = of("y[i] = 8u * i;");
        assert_eq!(plain, of("// why\n y[i] = 2u * N * i;"));
        assert_eq!(plain, of("let unread = i + 1u; y[i] = 8u * i;"));
        assert_eq!(of("y[i] = N * i;"), of("y[i] = 1u * N * i;"));
        assert_eq!(of("if (SURE) { y[i] = 1u; }"), of("if (SURE) { y[i] = unused(); }"));
    }

    #[test]
    fn what_makes_one_is_seen() {
        let plain = of("y[i] = 8u * i;");
        for other in
            ["y[i] = 9u * i;", "y[i] = 8u + i;", "y[i] = unused() * i;", "if (!SURE) { y[i] = 9u * i; }"]
        {
            assert_ne!(plain, of(other), "{other}");
        }
        assert!(program("fn f() -> u32 { return 1.0; }").is_err());
        assert!(program("fn f( {").is_err());
    }
}
