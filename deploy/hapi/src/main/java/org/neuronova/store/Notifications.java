package org.neuronova.store;

import ca.uhn.fhir.jpa.model.config.SubscriptionSettings;
import ca.uhn.fhir.jpa.subscription.channel.config.SubscriptionChannelConfig;
import ca.uhn.fhir.jpa.subscription.channel.impl.RetryPolicyProvider;
import ca.uhn.fhir.jpa.subscription.match.config.SubscriptionProcessorConfig;
import ca.uhn.fhir.jpa.subscription.match.deliver.email.IEmailSender;
import ca.uhn.fhir.jpa.subscription.submit.config.SubscriptionSubmitterConfig;
import org.hl7.fhir.dstu2.model.Subscription.SubscriptionChannelType;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.annotation.Import;
import org.springframework.retry.RetryPolicy;
import org.springframework.retry.policy.TimeoutRetryPolicy;

/**
 * Rest-hook subscriptions and nothing else.
 *
 * <p>A notification only wakes its receiver: HAPI keeps its queue in memory. So the retry is short, because a
 * delivery that is being retried holds one of the two threads of its subscription.
 */
@Configuration
@Import({SubscriptionSubmitterConfig.class, SubscriptionProcessorConfig.class})
class Notifications extends SubscriptionChannelConfig {

    private final StoreSettings settings;

    Notifications(StoreSettings settings) {
        this.settings = settings;
    }

    @Bean
    SubscriptionSettings subscriptionSettings() {
        SubscriptionSettings subscriptions = new SubscriptionSettings();
        subscriptions.addSupportedSubscriptionType(SubscriptionChannelType.RESTHOOK);
        subscriptions.setSubscriptionIntervalInMs(settings.subscriptionInterval().toMillis());
        // Queued at once means queued before the commit: the matcher then does not find the new Subscription.
        subscriptions.setSubscriptionChangeQueuedImmediately(false);
        return subscriptions;
    }

    @Bean
    @Override
    public RetryPolicyProvider retryPolicyProvider() {
        long millis = settings.deliveryRetryFor().toMillis();
        return new RetryPolicyProvider() {
            @Override
            protected RetryPolicy retryPolicy() {
                return new TimeoutRetryPolicy(millis);
            }
        };
    }

    /** HAPI's delivery factory insists on one; no subscription of ours sends mail. */
    @Bean
    IEmailSender emailSender() {
        return mail -> {
            throw new UnsupportedOperationException("this store sends no mail");
        };
    }
}
