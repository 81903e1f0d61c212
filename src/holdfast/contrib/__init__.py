"""For users of other libraries; each module needs that library."""
