# Kafka Connect with Debezium and our Avro converter, at the versions that infra/native/pom.xml pins.
FROM maven:3.9.9-eclipse-temurin-17 AS plugins
COPY infra/native/pom.xml /build/pom.xml
COPY infra/native/maven /build/maven
RUN mvn -B -f /build/pom.xml -pl maven/debezium,maven/connector,maven/converter package -Dsluice.jars=/jars

FROM apache/kafka:4.2.1
COPY --from=plugins --chown=appuser:appuser /jars/plugins /opt/plugins
COPY infra/compose/connect.properties /etc/sluice/connect.properties
EXPOSE 8083
CMD ["/opt/kafka/bin/connect-distributed.sh", "/etc/sluice/connect.properties"]
