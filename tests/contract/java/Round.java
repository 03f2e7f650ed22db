// One round with the official Java SDK: create a job, show it, stop it, show it again. Prints a line per answer.
// Started by test_java_sdk.py; address, room and user are arguments, access key and secret come by the environment.

import com.huaweicloud.sdk.cloudrtc.v2.CloudRTCClient;
import com.huaweicloud.sdk.cloudrtc.v2.model.CreateIndividualStreamJobRequest;
import com.huaweicloud.sdk.cloudrtc.v2.model.IndividualStreamJobReq;
import com.huaweicloud.sdk.cloudrtc.v2.model.RecordParam;
import com.huaweicloud.sdk.cloudrtc.v2.model.ShowIndividualStreamJobRequest;
import com.huaweicloud.sdk.cloudrtc.v2.model.ShowIndividualStreamJobResponse;
import com.huaweicloud.sdk.cloudrtc.v2.model.StopIndividualStreamJobRequest;
import com.huaweicloud.sdk.core.auth.BasicCredentials;
import com.huaweicloud.sdk.core.exception.ClientRequestException;
import com.huaweicloud.sdk.core.region.Region;

public class Round {
    public static void main(String[] arguments) {
        var credentials = new BasicCredentials()
                .withAk(System.getenv("HUAWEICLOUD_SDK_AK"))
                .withSk(System.getenv("HUAWEICLOUD_SDK_SK"))
                .withIamEndpoint(arguments[0]);
        var region = new Region("soloist-1", arguments[0]);
        var client = CloudRTCClient.newBuilder().withCredential(credentials).withRegion(region).build();

        var body = new IndividualStreamJobReq()
                .withRoomId(arguments[1])
                .withUserId(arguments[2])
                .withMaxIdleTime(60)
                .withRecordParam(new RecordParam().withRecordRuleId("demo"));
        var request = new CreateIndividualStreamJobRequest().withAppId("demo").withBody(body);
        var created = client.createIndividualStreamJob(request);
        System.out.printf("created %d %s %s %s%n", created.getHttpStatusCode(), created.getJobId(),
                created.getState(), created.getStreamName());
        try {
            client.createIndividualStreamJob(request);
        } catch (ClientRequestException refusal) {
            System.out.printf("refused %d %s %d%n", refusal.getHttpStatusCode(), refusal.getErrorCode(),
                    refusal.getRequestId().length());
        }
        print("shown", show(client, created.getJobId()));
        var stopped = client.stopIndividualStreamJob(
                new StopIndividualStreamJobRequest().withAppId("demo").withJobId(created.getJobId()));
        System.out.printf("stopped %d%n", stopped.getHttpStatusCode());
        print("after", show(client, created.getJobId()));
    }

    private static ShowIndividualStreamJobResponse show(CloudRTCClient client, String jobId) {
        return client.showIndividualStreamJob(
                new ShowIndividualStreamJobRequest().withAppId("demo").withJobId(jobId));
    }

    private static void print(String step, ShowIndividualStreamJobResponse job) {
        System.out.printf("%s %d %s %s %s %s %s %s %s %d %s%n", step, job.getHttpStatusCode(), job.getState(),
                job.getStopReason(), job.getRoomId(), job.getUserId(), job.getIsRecordAudio(), job.getVideoType(),
                job.getSelectStreamType(), job.getMaxIdleTime(), job.getRecordParam().getRecordRuleId());
    }
}
