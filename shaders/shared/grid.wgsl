// Workgroups that are numbered: where they are too many for one axis of a grid, they go on along its second.
struct Workgroup {
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
}

fn number_of(workgroup: Workgroup) -> u32 {
    return workgroup.id.y * workgroup.grid.x + workgroup.id.x;
}
