//! CareerOS learning management service: courses, enrollments, certificates.
