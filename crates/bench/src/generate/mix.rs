//! The mix: which events there are and how often, and what each of them adds to the tables.

use anyhow::Result;
use careeros_shared::events::{
    AiFlowExecuted, CertificateIssued, CourseCompleted, CoursePublished, DocumentUploaded, EnrollmentCreated,
    InvoicePaid, LessonCompleted, MasteryScoreUpdated, MilestoneCompleted, ModelCallCompleted, PlanChanged,
    ProductivityScoreComputed, ProfileUpdated, PublishedLesson, QuizItem, QuizSubmitted, RoadmapCreated,
    RoadmapDraftGenerated, RoadmapUpdated, RoleChanged, SkillGapAnalyzed, SkillsUpdated, StreakUpdated,
    SubscriptionActivated, SubscriptionCanceled, SubscriptionRenewed, UserLoggedIn, UserRegistered,
};
use rand::RngExt as _;
use rust_decimal::Decimal;

use super::{Generator, Record, SKILLS, User};

type Make = fn(&mut Generator, User) -> Result<Record>;

/// Of a thousand events so many are of the kind.
const MIX: [(u32, Make); 26] = [
    (50, user_registered),
    (110, user_logged_in),
    (2, role_changed),
    (40, profile_updated),
    (50, skills_updated),
    (8, document_uploaded),
    (100, ai_flow_executed),
    (20, skill_gap_analyzed),
    (20, roadmap_draft_generated),
    (100, model_call_completed),
    (20, roadmap_created),
    (20, roadmap_updated),
    (30, milestone_completed),
    (30, enrollment_created),
    (200, lesson_completed),
    (50, quiz_submitted),
    (8, course_completed),
    (8, certificate_issued),
    (60, mastery_score_updated),
    (20, streak_updated),
    (30, productivity_score_computed),
    (6, subscription_activated),
    (8, subscription_renewed),
    (2, subscription_canceled),
    (6, invoice_paid),
    (2, plan_changed),
];

impl Generator {
    /// The next event: first every course is published, then come the others as the mix has them.
    pub(super) fn make(&mut self) -> Result<Record> {
        if let Some(course) = usize::try_from(self.made).ok().filter(|made| *made < self.courses.len()) {
            return self.publish(course);
        }
        let user = self.user();
        let total: u32 = MIX.iter().map(|(share, _)| share).sum();
        let mut drawn = self.random.random_range(0..total);
        for (share, make) in MIX {
            match drawn.checked_sub(share) {
                None => return make(self, user),
                Some(rest) => drawn = rest,
            }
        }
        user_logged_in(self, user)
    }

    fn publish(&mut self, course: usize) -> Result<Record> {
        let course = &self.courses[course];
        let lesson = |(id, skills): &(_, Vec<_>)| PublishedLesson { lesson_id: *id, skill_keys: skills.clone() };
        let lessons = course.lessons.iter().map(lesson).collect();
        let (publisher, event) = (
            User { id: course.id, tenant_id: course.tenant_id },
            CoursePublished { course_id: course.id, version: 1, lessons },
        );
        self.record(publisher, &event)
    }

    fn skill(&mut self) -> String {
        SKILLS[self.random.random_range(0..SKILLS.len())].to_owned()
    }

    fn lesson(&mut self) -> (usize, usize) {
        let course = self.random.random_range(0..self.courses.len());
        (course, self.random.random_range(0..self.courses[course].lessons.len()))
    }
}

/// Everybody registers once; after that they log in.
fn user_registered(generator: &mut Generator, user: User) -> Result<Record> {
    let Some(user) = generator.users.get(generator.registered).copied() else {
        return user_logged_in(generator, user);
    };
    generator.registered += 1;
    generator.step("activation.signup", user);
    let (email, registered_at) = (format!("{}@example.com", user.id.simple()), generator.now());
    generator.record(user, &UserRegistered { user_id: user.id, email, registered_at, default_role: None })
}

fn user_logged_in(generator: &mut Generator, user: User) -> Result<Record> {
    generator.active(user);
    let (email, logged_in_at) = (format!("{}@example.com", user.id.simple()), generator.now());
    generator.record(user, &UserLoggedIn { user_id: user.id, email, logged_in_at })
}

fn role_changed(generator: &mut Generator, user: User) -> Result<Record> {
    let event =
        RoleChanged { user_id: user.id, roles: vec!["INSTRUCTOR".to_owned()], changed_by: "operator".to_owned() };
    generator.record(user, &event)
}

/// Every fourth brings a time zone.
fn profile_updated(generator: &mut Generator, user: User) -> Result<Record> {
    const ZONES: [&str; 5] = ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Europe/London", "Asia/Tokyo"];
    generator.active(user);
    let timezone = generator.random.random_ratio(1, 4).then(|| ZONES[generator.random.random_range(0..5)].to_owned());
    let changed = if timezone.is_some() { "timezone" } else { "bio" };
    if timezone.is_some() {
        generator.expected.learners.insert(user.id);
    }
    generator.record(user, &ProfileUpdated { user_id: user.id, updated_fields: vec![changed.to_owned()], timezone })
}

fn skills_updated(generator: &mut Generator, user: User) -> Result<Record> {
    generator.active(user);
    let (skill_key, proficiency) = (generator.skill(), f64::from(generator.random.random_range(0..=100_u8)));
    generator.record(user, &SkillsUpdated { user_id: user.id, skill_key, proficiency })
}

fn document_uploaded(generator: &mut Generator, user: User) -> Result<Record> {
    generator.active(user);
    let event = DocumentUploaded {
        user_id: user.id,
        document_id: generator.id(),
        document_type: "CV".to_owned(),
        mime_type: "application/pdf".to_owned(),
        size_bytes: 120_000,
    };
    generator.record(user, &event)
}

/// Eight of ten succeed, one does in part, one fails.
fn ai_flow_executed(generator: &mut Generator, user: User) -> Result<Record> {
    let status = match generator.random.random_range(0..10_u8) {
        0 => "FAILED",
        1 => "PARTIAL",
        _ => "SUCCESS",
    };
    let total_cost_usd = Decimal::new(generator.random.random_range(0..90), 4);
    generator.expected.flows += 1;
    generator.expected.flow_cost += total_cost_usd;
    generator.expected.metered += u64::from(status != "FAILED");
    generator.step("engagement.ai_flow", user);
    let flows = ["skill_gap_analysis", "roadmap_generator", "productivity_advisor"];
    let event = AiFlowExecuted {
        execution_id: generator.id(),
        flow_name: flows[generator.random.random_range(0..flows.len())].to_owned(),
        flow_version: "v1".to_owned(),
        status: status.to_owned(),
        latency_ms: 120,
        prompt_tokens: Some(800),
        completion_tokens: Some(300),
        total_cost_usd,
    };
    generator.record(user, &event)
}

fn skill_gap_analyzed(generator: &mut Generator, user: User) -> Result<Record> {
    generator.expected.analysed.insert(user.id);
    let missing_skills: Vec<_> = (0..5).map(|_| generator.skill()).collect();
    let (execution_id, priority_order) = (generator.id(), missing_skills.clone());
    generator.record(user, &SkillGapAnalyzed { execution_id, missing_skills, priority_order })
}

fn roadmap_draft_generated(generator: &mut Generator, user: User) -> Result<Record> {
    generator.expected.drafts += 1;
    let stages = ["Foundations", "Services", "Data", "Operations"].map(str::to_owned).to_vec();
    let execution_id = generator.id();
    generator.record(user, &RoadmapDraftGenerated { execution_id, stages, timeline_weeks: 24 })
}

fn model_call_completed(generator: &mut Generator, user: User) -> Result<Record> {
    let event = ModelCallCompleted {
        execution_id: generator.id(),
        attempt: 1,
        model: "small".to_owned(),
        outcome: "SUCCESS".to_owned(),
        latency_ms: 110,
        prompt_tokens: 800,
        completion_tokens: 300,
        cost_usd: Decimal::new(21, 4),
    };
    generator.record(user, &event)
}

fn roadmap_created(generator: &mut Generator, user: User) -> Result<Record> {
    generator.step("activation.roadmap_created", user);
    let roadmap_id = generator.id();
    generator.record(user, &RoadmapCreated { roadmap_id, user_id: user.id, goal_key: "backend".to_owned(), version: 1 })
}

fn roadmap_updated(generator: &mut Generator, user: User) -> Result<Record> {
    generator.active(user);
    let roadmap_id = generator.id();
    let change = "MILESTONE_COMPLETED".to_owned();
    generator.record(user, &RoadmapUpdated { roadmap_id, user_id: user.id, version: 1, change })
}

fn milestone_completed(generator: &mut Generator, user: User) -> Result<Record> {
    generator.active(user);
    generator.learns(user);
    let (milestone_id, roadmap_id, completed_at) = (generator.id(), generator.id(), generator.now());
    generator.record(user, &MilestoneCompleted { milestone_id, roadmap_id, completed_at })
}

fn enrollment_created(generator: &mut Generator, user: User) -> Result<Record> {
    generator.active(user);
    let (course, _) = generator.lesson();
    let course_id = generator.courses[course].id;
    generator.record(user, &EnrollmentCreated { user_id: user.id, course_id })
}

fn lesson_completed(generator: &mut Generator, user: User) -> Result<Record> {
    let (course, lesson) = generator.lesson();
    let (course_id, (lesson_id, skills)) =
        (generator.courses[course].id, generator.courses[course].lessons[lesson].clone());
    let time_spent_minutes = generator.random.random_range(3..45_u32);
    generator.step("activation.lesson_completed", user);
    generator.learns(user);
    generator.expected.minutes += u64::from(time_spent_minutes);
    generator.expected.taught += skills.len() as u64;
    let completed_at = generator.now();
    generator
        .record(user, &LessonCompleted { lesson_id, course_id, user_id: user.id, completed_at, time_spent_minutes })
}

fn quiz_submitted(generator: &mut Generator, user: User) -> Result<Record> {
    generator.active(user);
    generator.learns(user);
    let (course, lesson) = generator.lesson();
    let (course_id, (lesson_id, skills)) =
        (generator.courses[course].id, generator.courses[course].lessons[lesson].clone());
    let items = (0..5).map(|item| QuizItem {
        item_id: item.to_string(),
        skill_key: skills[item % skills.len()].clone(),
        correct: generator.random.random_ratio(7, 10),
    });
    let items: Vec<_> = items.collect();
    let correct = items.iter().filter(|item| item.correct).count();
    let event = QuizSubmitted {
        user_id: user.id,
        course_id,
        lesson_id,
        quiz_id: lesson_id,
        attempt_id: generator.id(),
        score: f64::from(u8::try_from(correct * 20)?),
        passed: correct > 2,
        items,
    };
    generator.record(user, &event)
}

fn course_completed(generator: &mut Generator, user: User) -> Result<Record> {
    generator.learns(user);
    let (course, _) = generator.lesson();
    let (course_id, completed_at) = (generator.courses[course].id, generator.now());
    generator.record(user, &CourseCompleted { user_id: user.id, course_id, completed_at })
}

fn certificate_issued(generator: &mut Generator, user: User) -> Result<Record> {
    let (course, _) = generator.lesson();
    let (course_id, certificate_id) = (generator.courses[course].id, generator.id());
    let verification_code = certificate_id.simple().to_string();
    generator.record(user, &CertificateIssued { user_id: user.id, course_id, certificate_id, verification_code })
}

fn mastery_score_updated(generator: &mut Generator, user: User) -> Result<Record> {
    let skill_key = generator.skill();
    generator.record(user, &MasteryScoreUpdated { user_id: user.id, skill_key, score: 61.5 })
}

fn streak_updated(generator: &mut Generator, user: User) -> Result<Record> {
    generator.record(user, &StreakUpdated { user_id: user.id, streak_days: 4 })
}

fn productivity_score_computed(generator: &mut Generator, user: User) -> Result<Record> {
    let event = ProductivityScoreComputed { user_id: user.id, productivity_score: 47.25, weekly_minutes: 120 };
    generator.record(user, &event)
}

fn subscription_activated(generator: &mut Generator, user: User) -> Result<Record> {
    *generator.expected.funnel.entry("conversion.subscription_activated").or_default() += 1;
    let event = SubscriptionActivated {
        subscription_id: generator.id(),
        user_id: Some(user.id),
        organization_id: None,
        plan_code: "PREMIUM".to_owned(),
        activated_at: generator.now(),
        status: "ACTIVE".to_owned(),
    };
    generator.record(user, &event)
}

fn subscription_renewed(generator: &mut Generator, user: User) -> Result<Record> {
    let event = SubscriptionRenewed {
        subscription_id: generator.id(),
        user_id: Some(user.id),
        plan_code: "PREMIUM".to_owned(),
        current_period_end: generator.now(),
        mrr_usd: Decimal::from(29),
    };
    generator.record(user, &event)
}

fn subscription_canceled(generator: &mut Generator, user: User) -> Result<Record> {
    let event = SubscriptionCanceled {
        subscription_id: generator.id(),
        user_id: Some(user.id),
        plan_code: "PREMIUM".to_owned(),
        canceled_at: generator.now(),
        mrr_usd: Decimal::from(29),
    };
    generator.record(user, &event)
}

fn invoice_paid(generator: &mut Generator, user: User) -> Result<Record> {
    let (invoice_id, subscription_id, paid_at) = (generator.id(), generator.id(), generator.now());
    generator.record(user, &InvoicePaid { invoice_id, subscription_id, amount_usd: Decimal::from(29), paid_at })
}

fn plan_changed(generator: &mut Generator, user: User) -> Result<Record> {
    let event = PlanChanged {
        plan_code: "PREMIUM".to_owned(),
        price_usd: Decimal::from(29),
        billing_interval: "MONTH".to_owned(),
        effective_at: generator.now(),
    };
    generator.record(user, &event)
}
