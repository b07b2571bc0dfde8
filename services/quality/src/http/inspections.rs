//! `POST|GET /inspections`, `GET /inspections/{id}`, `GET /inspections/{id}/events`, `POST /inspections/{id}/cancel`.

super::jobs::routes_of! {
    new: NewInspection,
    job: InspectionJob,
    asked: crate::verdict::Asked::Inspection,
    check: crate::limits::check_inspection,
    create: "create_inspection" at "/inspections",
    list: "list_inspections",
    show: "show_inspection" at "/inspections/{id}",
    watch: "watch_inspection" at "/inspections/{id}/events",
    cancel: "cancel_inspection" at "/inspections/{id}/cancel",
}
