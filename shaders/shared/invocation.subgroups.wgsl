// Which invocation of its workgroup runs the entry point, and in which subgroup. How many invocations a subgroup has is not asked.
struct Invocation {
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) wave: u32,
}
