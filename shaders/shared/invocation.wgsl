// Which invocation of its workgroup runs the entry point. (What is the same for all of them stands beside it: a struct with
// one member that is not counts as not the same as a whole.)
struct Invocation {
    @builtin(local_invocation_index) lane: u32,
}
