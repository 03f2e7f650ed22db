-- What a project may see and name in storage is granted by the operator. Who owned a bucket, as the first to name it, is
-- granted all of it; whose rules name another's bucket, which only an operator could bring about, the folders they name.

CREATE TABLE bucket_grants (
    project_id VARCHAR(128) NOT NULL,
    location VARCHAR(64) NOT NULL,
    bucket VARCHAR(256) NOT NULL,
    folder VARCHAR(1024) DEFAULT '' NOT NULL,
    PRIMARY KEY (project_id, location, bucket, folder),
    FOREIGN KEY(project_id) REFERENCES projects (project_id)
);

INSERT INTO bucket_grants (project_id, location, bucket)
    SELECT project_id, location, bucket FROM bucket_owners;

INSERT INTO bucket_grants (project_id, location, bucket, folder)
    SELECT DISTINCT a.project_id, r.location, r.body #>> '{address,bucket}',
        regexp_replace(coalesce(r.body #>> '{address,object}', ''), '/$', '')
    FROM record_rules r JOIN apps a ON a.app_id = r.app_id
    WHERE NOT EXISTS (
        SELECT FROM bucket_grants g
        WHERE (g.project_id, g.location, g.bucket) = (a.project_id, r.location, r.body #>> '{address,bucket}')
    );

DROP TABLE bucket_owners;
