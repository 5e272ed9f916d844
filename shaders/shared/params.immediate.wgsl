// Parameters as immediates: no buffer, no bind group.
var<immediate> params: Params;
