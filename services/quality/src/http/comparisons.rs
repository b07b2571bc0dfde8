//! `POST|GET /comparisons`, `GET /comparisons/{id}`, `GET /comparisons/{id}/events`, `POST /comparisons/{id}/cancel`.

super::jobs::routes_of! {
    new: NewComparison,
    job: ComparisonJob,
    asked: crate::verdict::Asked::Comparison,
    check: crate::limits::check_comparison,
    create: "create_comparison" at "/comparisons",
    list: "list_comparisons",
    show: "show_comparison" at "/comparisons/{id}",
    watch: "watch_comparison" at "/comparisons/{id}/events",
    cancel: "cancel_comparison" at "/comparisons/{id}/cancel",
}
