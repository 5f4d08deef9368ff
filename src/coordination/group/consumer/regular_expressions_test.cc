// Expressions of members, with those of Kafka's library (testdata/regular_expressions.txt).
#include "coordination/group/consumer/regular_expressions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <memory>
#include <set>
#include <sstream>

#include "coordination/group/consumer/image_of_topics.h"

namespace weir::coordination {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Optional;

constexpr size_t kPlenty = size_t{1} << 30;

std::vector<std::string> words(const std::string& text) {
  std::istringstream in(text);
  return {std::istream_iterator<std::string>(in), {}};
}

ImageOfTopics image_of(const std::vector<std::string>& names) {
  ImageOfTopics image;
  for (const std::string& name : names) image.topics[name];
  return image;
}

std::vector<std::optional<std::vector<std::string>>> resolve(const std::vector<TopicExpression>& expressions, const Image& image,
                                                             size_t bytes_max = kPlenty) {
  return resolve_expressions(expressions, image, bytes_max);
}

TEST(RegularExpressions, MatchAsKafkas) {
  // Listed in docs/differences.md.
  const std::set<std::string> different = {"(?<name>a+)", "(?P<n>a)(?P<n>a)", "\\C"};
  ImageOfTopics image;
  std::vector<TopicExpression> expressions;
  std::vector<std::vector<std::string>> expected;
  std::ifstream file(WEIR_GROUP_TESTDATA "/regular_expressions.txt");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("# Names: ")) image = image_of(words(line.substr(9)));
    if (line.starts_with('#')) continue;
    const std::string expression = line.substr(0, line.find('\t')), verdict = line.substr(line.find('\t') + 1);
    if (different.contains(expression)) {
      EXPECT_EQ(validate_expression(expression).has_value(), verdict == "!") << expression;
      continue;
    }
    EXPECT_EQ(validate_expression(expression).has_value(), verdict != "!") << expression;
    expressions.push_back({expression, nullptr});
    expected.push_back(verdict == "!" || verdict == "-" ? std::vector<std::string>() : words(verdict));
    std::ranges::sort(expected.back());
  }
  ASSERT_GE(expressions.size(), 100u);
  const auto found = resolve(expressions, image);
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_THAT(found[i], Optional(expected[i])) << expressions[i].expression;
}

TEST(RegularExpressions, FaultsAreToldInWords) {
  const auto unbalanced = validate_expression("(a");
  ASSERT_FALSE(unbalanced);
  EXPECT_EQ(unbalanced.error().code, weir::ErrorCode::kInvalid);
  EXPECT_THAT(unbalanced.error().message, HasSubstr("SubscribedTopicRegex `(a` is not a valid regular expression: missing )"));
  std::string letters;
  for (int i = 0; i < 65; ++i) letters += "\\pL";
  EXPECT_THAT(validate_expression(letters).error().message, HasSubstr("65 Unicode classes, more than 64"));
  EXPECT_THAT(validate_expression("(\\pL{30}){30}").error().message, HasSubstr("pattern too large"));
  EXPECT_TRUE(validate_expression(std::string(16 * 1024, 'a')));
  EXPECT_THAT(validate_expression(std::string(16 * 1024 + 1, 'a')).error().message, HasSubstr("16385 bytes, more than 16384"));
}

TEST(RegularExpressions, AFilterHidesTopicsFromItsOwnExpressionOnly) {
  const TopicFilter not_b =
      std::make_shared<const std::function<bool(std::string_view)>>([](std::string_view topic) { return topic != "b"; });
  const auto found = resolve({{"a|b", not_b}, {"a|b", nullptr}}, image_of({"b", "a", "c"}));
  EXPECT_THAT(found, ElementsAre(Optional(ElementsAre("a")), Optional(ElementsAre("a", "b"))));
}

TEST(RegularExpressions, WhatIsNoExpressionMatchesNothing) {
  EXPECT_THAT(resolve({{"(", nullptr}, {std::string(20'000, 'a'), nullptr}}, image_of({"("})),
              ElementsAre(Optional(IsEmpty()), Optional(IsEmpty())));
}

TEST(RegularExpressions, TooManyTopicsAreNotTakenAndTakeNoMemoryFromOthers) {
  std::vector<std::string> names;
  for (int i = 0; i < 1'000; ++i) names.push_back("topic-" + std::to_string(i));
  const auto found = resolve({{".*", nullptr}, {"topic-1", nullptr}, {"topic-..", nullptr}}, image_of(names), 10'000);
  EXPECT_EQ(found[0], std::nullopt);
  EXPECT_THAT(found[1], Optional(ElementsAre("topic-1")));
  EXPECT_EQ(found[2]->size(), 90u);
}

TEST(RegularExpressions, TooMuchWorkIsNotDone) {
  std::vector<std::string> names;
  for (int i = 0; i < 3'000; ++i) names.push_back(std::string(240, 'b') + std::to_string(i));
  const std::string large(16'000, 'b');
  const auto found = resolve({{large, nullptr}, {"b*1", nullptr}, {large, nullptr}}, image_of(names));
  EXPECT_EQ(found[0], std::nullopt);
  EXPECT_EQ(found[1]->size(), 1u);
  EXPECT_EQ(found[2], std::nullopt);
}

// More than are compiled at a time; each is one whose states multiply.
TEST(RegularExpressions, ManyHardOnesAreResolved) {
  std::vector<std::string> names;
  for (int i = 0; i < 100; ++i) names.push_back(std::string(200, 'a') + std::to_string(i));
  std::vector<TopicExpression> expressions;
  for (int i = 0; i < 40; ++i) expressions.push_back({"(a|aa)*.*a.{" + std::to_string(100 + i) + "}1", nullptr});
  const auto found = resolve(expressions, image_of(names));
  ASSERT_EQ(found.size(), expressions.size());
  for (const auto& topics : found) {
    ASSERT_TRUE(topics);
    EXPECT_EQ(topics->size(), 10u);
  }
}

}  // namespace
}  // namespace weir::coordination
